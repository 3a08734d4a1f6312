//! [`Relay`]: joins two connections without losing anything.
//!
//! Each direction is passed on by itself, and so is how it ends: EOF becomes a half-close, a reader that
//! takes no more becomes `EPIPE` for its writer, and a reset never looks like an orderly end. Record
//! boundaries, file descriptors (fds) and, if asked to, the credentials of the client are kept.
//!
//! ```no_run
//! use sockeye::relay::Relay;
//! use sockeye::server::{Connection, Server};
//! use sockeye::{Claim, Connector, Listener};
//!
//! # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::open(&"/run/front.sock".parse()?, &Claim::options())?;
//! let relay = Relay::new();
//! let handler = move |client: Connection| {
//!     let relay = relay.clone();
//!     async move {
//!         let target = Connector::new().connect(&"/run/app.sock".parse()?).await?;
//!         let report = relay.join(client, target).await?;
//!         println!("{} bytes to the target", report.to_target.bytes);
//!         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//!     }
//! };
//! Server::new().run(listener, handler, shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Datagrams have no connections: [`DatagramRelay`] passes them on.
//!
//! The target sees the peer credentials of the relay (`SO_PEERCRED`), unless a [`ClientConnector`] has
//! connected it, as root.

mod address;
mod client_connector;
mod client_thread;
mod connect;
mod credentials;
mod datagrams;
mod direction_state;
mod end;
mod error;
mod fd_policy;
mod fd_search;
mod intake;
mod linger;
mod listen;
mod messages;
mod observer;
mod path;
mod pause;
mod pipes;
mod records;
mod relay_direction;
mod relay_pair;
mod relay_piece;
mod relay_socket;
mod report;
mod settings;
mod stall;
mod target_error;
mod targets;
mod timer;
mod unread;

use std::fmt;
use std::future::Future;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;

pub use address::{RelayAddress, VsockCid};
pub use client_connector::ClientConnector;
pub use connect::TargetSocket;
pub use credentials::{ClientCredentials, CredentialsError};
pub use datagrams::{DatagramCounts, DatagramRelay, DatagramRelayError, DatagramRelayReport};
pub use end::RelayEnd;
pub use error::RelayError;
pub use fd_policy::FdPolicy;
pub use listen::{NetListenError, NetListenErrorKind};
pub use observer::{
    MissedTotal, ObservedBegin, ObservedDirection, ObservedEnd, ObservedFd, ObservedFdKind,
    ObservedGap, ObservedPiece, Observer, ObserverHandle, ObserverLimits, ObserverThread,
};
pub use path::RelayPath;
pub use report::{DirectionEnd, DirectionReport, RelayFailure, RelayReport};
pub use target_error::{TargetError, TargetErrorKind};
pub use targets::{Targets, TargetsError};

use fd_search::FdSearch;
use observer::ObservedSide;
use pipes::PipePool;
use relay_direction::RelayDirection;
use relay_pair::RelayPair;
use relay_socket::SocketKind;
use settings::Settings;

use crate::address::Kind;
use crate::peer::Peer;

/// Joins two connections: streams of any kind with streams, or two seqpacket connections.
///
/// Cheap to clone; the clones share a pool of pipes for splice(2).
#[doc(alias = "copy_bidirectional")]
#[doc(alias = "proxy")]
#[derive(Debug, Clone)]
pub struct Relay {
    settings: Arc<Settings>,
}

impl Default for Relay {
    fn default() -> Self {
        Self::new()
    }
}

impl Relay {
    /// A relay of records of at most 1 MiB. Fds are passed on between UNIX sockets, and otherwise
    /// refused.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            fds: None,
            max_record: 1 << 20,
            half_close_timeout: None,
            passes_credentials: false,
            observer: None,
            pipes: Arc::new(PipePool::default()),
        };
        Self {
            settings: Arc::new(settings),
        }
    }

    /// What becomes of fds. The default is [`FdPolicy::Pass`] between UNIX sockets and
    /// [`FdPolicy::Refuse`] where one side is of another kind.
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn fds(self, policy: FdPolicy) -> Self {
        self.with(|settings| settings.fds = Some(policy))
    }

    /// The largest record in bytes. A larger one ends its connection, and its sender reads a reset.
    #[must_use]
    pub fn max_record(self, size: usize) -> Self {
        self.with(|settings| settings.max_record = size)
    }

    /// Ends a connection of which one direction has ended and the other has passed nothing on for this
    /// long. The default is no limit: an answer may take as long as it likes.
    #[doc(alias = "half-close")]
    #[must_use]
    pub fn half_close_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.half_close_timeout = Some(timeout))
    }

    /// Each message to the target carries the credentials that the client's message had
    /// (`SCM_CREDENTIALS`, unix(7)), or, if it had none, those that the client has connected with. It
    /// takes `CAP_SETUID` and `CAP_SETGID`, and `CAP_SYS_ADMIN` for the pid: the relay's own pid stands in
    /// for it otherwise, and for that of a process that has ended. The client's listener should report them from the beginning
    /// ([`pass_credentials`](crate::pass_credentials)).
    #[doc(alias = "SCM_CREDENTIALS")]
    #[must_use]
    pub fn forward_credentials(self) -> Self {
        self.with(|settings| settings.passes_credentials = true)
    }

    /// Hands over to an [`Observer`] what each connection passes on, before it is sent. Bytes are copied
    /// for it, and splice(2) is not used.
    #[must_use]
    pub fn observe(self, observer: ObserverHandle) -> Self {
        self.with(|settings| settings.observer = Some(observer))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Passes on everything between the two sides until both directions have ended, and closes both.
    /// The first-byte and the idle timeout of the client's server apply; nothing else limits the time.
    ///
    /// Memory: nothing while the connection is idle. For each direction at most 64 KiB, or one
    /// record, that the reader has no room for.
    ///
    /// # Errors
    /// [`RelayError`] where the two do not fit together, or as setsockopt(2) and epoll_ctl(2). Whatever
    /// happens later is in the report.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the connection: a TCP side is reset; a UNIX side is, too, where
    /// unread input is queued (unix(7)), and otherwise it reads EOF.
    pub fn join(&self, client: impl Into<RelayEnd>, target: impl Into<RelayEnd>) -> RelayJoin {
        RelayJoin(self.pair([client.into(), target.into()]).map_err(Some))
    }

    /// By which system calls [`Self::join`] passes bytes on from the client to the target, and back.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub fn paths(
        &self,
        client: &mut RelayEnd,
        target: &mut RelayEnd,
    ) -> Result<[RelayPath; 2], RelayError> {
        self.prepare(client, target)?;
        Ok(self.choose_paths(client, target))
    }

    fn choose_paths(&self, client: &RelayEnd, target: &RelayEnd) -> [RelayPath; 2] {
        let is_observed = self.settings.observer.is_some();
        let path = |from: &RelayEnd, to: &RelayEnd, passes_credentials| {
            RelayPath::choose(&from.io, &to.io, passes_credentials, is_observed)
        };
        let passes_credentials = self.settings.passes_credentials;
        [
            path(client, target, passes_credentials),
            path(target, client, false),
        ]
    }

    fn pair(&self, mut ends: [RelayEnd; 2]) -> Result<RelayPair, RelayError> {
        let [client, target] = &mut ends;
        let policy = self.prepare(client, target)?;
        let paths = self.choose_paths(client, target);
        let has_credentials = [self.settings.passes_credentials, false];
        let mut directions = [0, 1]
            .map(|n| RelayDirection::new(paths[n], policy, FdSearch::new(has_credentials[n])));
        for socket in ends.iter_mut().filter_map(|end| end.io.as_socket_mut()) {
            socket.begin()?;
        }
        if self.settings.passes_credentials {
            directions[0].client = Some(credentials_of(&ends[0])?);
        }
        if let Some(observer) = &self.settings.observer {
            let client = ends[0].io.as_socket();
            let peer = client.and_then(|socket| Peer::of(socket.as_fd()).ok());
            let kind = match ends[0].io.kind() {
                Some(SocketKind::SeqPacket) => Kind::SeqPacket,
                Some(SocketKind::UnixStream | SocketKind::Network) | None => Kind::Stream,
            };
            let observed = ObservedSide::begin(observer, kind, peer);
            for (direction, observed) in directions.iter_mut().zip(observed.into_iter().flatten()) {
                direction.observed = Some(Box::new(observed));
            }
        }
        Ok(RelayPair::new(ends, directions, Arc::clone(&self.settings)))
    }

    /// Checks that both fit together, and sets what the kernel is to do with fds.
    fn prepare(
        &self,
        client: &mut RelayEnd,
        target: &mut RelayEnd,
    ) -> Result<FdPolicy, RelayError> {
        let kinds = [client.io.kind(), target.io.kind()];
        let has_records = kinds.map(|kind| kind == Some(SocketKind::SeqPacket));
        if has_records[0] != has_records[1] {
            return Err(RelayError::KindsDiffer);
        }
        let are_unix = client.io.is_unix() && target.io.is_unix();
        let policy = match self.settings.fds {
            Some(FdPolicy::Pass) if !are_unix => return Err(RelayError::CannotPassFds),
            Some(policy) => policy,
            None if are_unix => FdPolicy::Pass,
            None => FdPolicy::Refuse,
        };
        let passes_credentials = [self.settings.passes_credentials, false];
        for (end, credentials) in [client, target].into_iter().zip(passes_credentials) {
            if let Some(socket) = end.io.as_socket_mut() {
                socket.set_up(policy, credentials)?;
            }
        }
        Ok(policy)
    }
}

/// Those of a client, to be forwarded.
fn credentials_of(client: &RelayEnd) -> Result<Peer, CredentialsError> {
    let peer = match client.io.as_socket() {
        Some(socket) => Peer::of(socket.as_fd()),
        None => Err(Errno::NOTSOCK.into()),
    };
    let peer = peer.map_err(CredentialsError::NoPeer)?;
    match peer.to_credentials() {
        Some(_) => Ok(peer),
        None => Err(CredentialsError::UnknownId("user or group")),
    }
}

/// The future of [`Relay::join`].
#[must_use = "nothing is passed on unless it is awaited"]
pub struct RelayJoin(Result<RelayPair, Option<RelayError>>);

impl Future for RelayJoin {
    type Output = Result<RelayReport, RelayError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(pair) => Pin::new(pair).poll(cx).map(Ok),
            Err(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => unreachable!("polled after its end"),
            },
        }
    }
}

impl fmt::Debug for RelayJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayJoin").finish_non_exhaustive()
    }
}
