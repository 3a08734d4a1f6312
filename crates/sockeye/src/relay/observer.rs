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

mod batch;
mod delivery;
mod forwarding;
mod gaps;
mod handle;
mod limits;
mod observed;
mod observed_fd;
mod piece_buffers;
mod queue;

use std::time::{Instant, SystemTime};

use bytes::Bytes;

pub use handle::{ObserverHandle, ObserverThread};
pub use limits::{MissedTotal, ObserverLimits};
pub(super) use observed::ObservedSide;
pub use observed_fd::{ObservedFd, ObservedFdKind};
pub(super) use queue::PieceBytes;

use super::DirectionEnd;
use crate::address::Kind;
use crate::peer::Peer;

/// Sees what a relay passes on, before it is sent.
///
/// All calls come from one thread, for each direction in order. An observer that was started with
/// [`ObserverHandle::start`] stalls nothing, however slow it is: pieces that find the queue full are left
/// out, and [`missed`](Self::missed) says how many. One that was started with
/// [`ObserverHandle::start_complete`] sees everything, and the relay waits for it. One that panics is not
/// called again, and nothing waits for it any more.
///
/// An [`ObserverHandle`] is an observer itself: one that has seen enough hands over to the next, which has
/// a thread of its own.
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
    fn missed(&mut self, gap: ObservedGap) {
        let _ = gap;
    }

    /// What had queued up was handed over. What is held back, such as a buffer of a file, should go out
    /// now. Called at most about once a millisecond.
    fn flush(&mut self) {}
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
    /// Of the client's socket; one that is no UNIX socket is a stream.
    pub kind: Kind,
    /// The peer credentials of the client, if it is a UNIX socket.
    pub client: Option<Peer>,
    /// The command name of the client's process at this time ([`Peer::command`]). The process chose it
    /// itself, and it may hold any bytes.
    pub command: Option<Vec<u8>>,
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
    /// The bytes. A record may have none. They share memory with the pieces that were handed over at about
    /// the same time: copy what is to be kept for long.
    pub bytes: Bytes,
    /// Whether it is a record.
    pub is_record: bool,
    /// The fds that are passed on with the first byte, or with the record, in their order.
    pub fds: Vec<ObservedFd>,
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

impl ObservedBegin {
    /// A connection of a client that is not known, now: for the tests of an observer.
    #[must_use]
    pub fn new(connection: u64, kind: Kind) -> Self {
        Self {
            connection,
            kind,
            client: None,
            command: None,
            time: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

impl ObservedPiece {
    /// Bytes of a stream, now: for the tests of an observer.
    #[must_use]
    pub fn new(connection: u64, direction: ObservedDirection, bytes: Bytes) -> Self {
        Self {
            connection,
            direction,
            bytes,
            is_record: false,
            fds: Vec::new(),
            credentials: None,
            time: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

impl ObservedEnd {
    /// An end, now: for the tests of an observer.
    #[must_use]
    pub fn new(connection: u64, direction: ObservedDirection, end: DirectionEnd) -> Self {
        Self {
            connection,
            direction,
            end,
            time: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

impl ObservedGap {
    /// A gap of nothing: for the tests of an observer.
    #[must_use]
    pub fn new(connection: u64, direction: ObservedDirection) -> Self {
        Self {
            connection,
            direction,
            pieces: 0,
            bytes: 0,
            fds: 0,
        }
    }
}
