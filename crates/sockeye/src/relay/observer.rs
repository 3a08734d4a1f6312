//! [`Observer`]: sees what a relay passes on, on a thread of its own.
//!
//! ```
//! use sockeye::Stream;
//! use sockeye::relay::{ObservedPiece, Observer, ObserverHandle, Relay};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[derive(Default)]
//! struct Transcript(Vec<u8>);
//!
//! impl Observer for Transcript {
//!     fn piece(&mut self, piece: ObservedPiece) {
//!         self.0.extend_from_slice(&piece.bytes);
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (handle, thread) = ObserverHandle::start(Transcript::default())?;
//! let relay = Relay::new().observe(handle);
//! let ((mut client, front), (back, mut target)) = (Stream::pair()?, Stream::pair()?);
//! let joined = relay.join(front, back);
//! client.write_all(b"hello").await?;
//! drop(client);
//! let serve = async { target.read_to_end(&mut Vec::new()).await.map(|_| drop(target)) };
//! let (report, _) = tokio::join!(joined, serve);
//! assert_eq!(report?.to_target.bytes, 5);
//! drop(relay);
//! let transcript = thread.join().expect("it does not panic");
//! assert_eq!(transcript.0, b"hello");
//! # Ok(())
//! # }
//! ```

mod handle;
mod observed;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

pub use handle::{MissedTotal, ObserverHandle, ObserverLimits, ObserverThread};
pub(super) use observed::ObservedSide;

use super::DirectionEnd;
use crate::peer::Peer;

/// Sees what a relay passes on, before it is sent.
///
/// All calls come from one thread ([`ObserverHandle::start`]), for each direction in order. An observer
/// that is slow stalls nothing: pieces that find the queue full are left out, and
/// [`missed`](Self::missed) says how many. One that panics is not called again.
pub trait Observer: Send + 'static {
    /// Two sides are joined.
    fn begin(&mut self, begin: ObservedBegin) {
        let _ = begin;
    }

    /// Bytes or a record, with what came with them.
    fn piece(&mut self, piece: ObservedPiece);

    /// A direction has ended.
    fn end(&mut self, end: ObservedEnd) {
        let _ = end;
    }

    /// Pieces are missing here, between the one before and the one after of this direction.
    fn missed(&mut self, missed: ObservedGap) {
        let _ = missed;
    }
}

/// One of the two directions of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObservedDirection {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    ToClient,
}

/// Two sides are joined.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObservedBegin {
    /// The number of the connection; the first one of an [`ObserverHandle`] is 1.
    pub connection: u64,
    /// The peer credentials of the client, if it is a UNIX socket.
    pub client: Option<Peer>,
    /// When, by the clock of the system.
    pub time: SystemTime,
    /// When, by the monotonic clock.
    pub instant: Instant,
}

/// What came in one read: bytes of a stream, or a record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObservedPiece {
    /// The number of the connection.
    pub connection: u64,
    /// Where it goes.
    pub direction: ObservedDirection,
    /// The bytes. A record may have none.
    pub bytes: Bytes,
    /// Whether it is a record.
    pub is_record: bool,
    /// The fds that are passed on with the first byte, or with the record.
    pub fds: ObservedFds,
    /// The credentials that are passed on with it (`SCM_CREDENTIALS`).
    pub credentials: Option<Peer>,
    /// When it was received, by the clock of the system.
    pub time: SystemTime,
    /// When it was received, by the monotonic clock.
    pub instant: Instant,
}

/// A direction has ended. Nothing more of it is observed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObservedEnd {
    /// The number of the connection.
    pub connection: u64,
    /// Which direction.
    pub direction: ObservedDirection,
    /// How.
    pub end: DirectionEnd,
    /// When, by the clock of the system.
    pub time: SystemTime,
    /// When, by the monotonic clock.
    pub instant: Instant,
}

/// Pieces of a direction that found the queue full. They were passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedGap {
    /// The number of the connection.
    pub connection: u64,
    /// Which direction.
    pub direction: ObservedDirection,
    /// How many pieces; records are pieces.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their fds.
    pub fds: u64,
}

/// File descriptors (fds) that a relay passes on, shared with it: not duplicates, so they have one
/// number for both. They stay open while this is held, and so whoever waits for the last close of one
/// (EOF of a pipe) waits for the observer.
#[derive(Clone, Default)]
pub struct ObservedFds(Option<Arc<Vec<OwnedFd>>>);

impl ObservedFds {
    /// The fds, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        let fds = self.0.as_deref().map_or(&[][..], Vec::as_slice);
        fds.iter().map(AsFd::as_fd)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for ObservedFds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
