//! [`ClientConnector`]: connects with the credentials of a client.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::client_thread;
use super::credentials::{ClientCredentials, CredentialsError, check_capabilities};
use super::target_error::{TargetError, TargetErrorKind};
use super::{RelayAddress, TargetSocket};
use crate::address::{Address, Kind, Name};
use crate::connect::{AttemptFailure, Attempts, ConnectError, ConnectedFd, Connector, send_to};
use crate::{Datagram, SeqPacket, Stream};

/// How many threads connect at a time, by default.
const THREADS: usize = 32;
/// An attempt may take this time, however short the connect timeout is.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects to UNIX sockets with the credentials of a client: the server sees the client's user and
/// groups (`SO_PEERCRED`, `SO_PEERGROUPS`), and the permissions of the path are those of the client.
/// Takes root (`CAP_SETUID` and `CAP_SETGID`).
///
/// ```no_run
/// use sockeye::relay::{ClientConnector, ClientCredentials};
/// use sockeye::{Address, Connector, Stream};
///
/// # async fn example(client: Stream) -> Result<(), Box<dyn std::error::Error>> {
/// let connector = ClientConnector::new(Connector::new())?;
/// let address: Address = "/run/app.sock".parse()?;
/// let target = connector.connect(&address, &ClientCredentials::of(&client)?).await?;
/// # let _ = target;
/// # Ok(())
/// # }
/// ```
///
/// The server does not see the client's pid, pidfd and security label (`SO_PEERPIDFD`, `SO_PEERSEC`):
/// those are ours. A client of uid 0 connects with our capabilities, others with none.
///
/// The kernel notes the ids of the *thread* that calls connect(2). Each attempt is made on a new thread,
/// which takes the ids of the client and ends with them, so that none of them is ever left on a thread
/// that is used again. A process that connects so must not change its own ids meanwhile (setuid(3)
/// changes those of all threads), and is not dumpable any more (`PR_SET_DUMPABLE`): it leaves no core
/// file, and its files in `/proc` are root's.
///
/// A relative path begins in the working directory of the process, and `/proc/self/fd/N` is its fd N;
/// the client needs no permission for what lies above that.
#[doc(alias = "setresuid")]
#[doc(alias = "impersonate")]
#[derive(Debug, Clone)]
pub struct ClientConnector {
    connector: Connector,
    threads: Arc<Semaphore>,
}

impl ClientConnector {
    /// Connects as `connector` does, with its timeouts, on at most 32 threads at a time.
    ///
    /// # Errors
    /// [`CredentialsError::NotPermitted`] without `CAP_SETUID` or `CAP_SETGID`.
    pub fn new(connector: Connector) -> Result<Self, CredentialsError> {
        check_capabilities().map_err(CredentialsError::NotPermitted)?;
        let threads = Arc::new(Semaphore::new(THREADS));
        Ok(Self { connector, threads })
    }

    /// How many threads may connect at a time, one at least. While that many do, others wait, for the
    /// connect timeout and one second at least.
    #[must_use]
    pub fn max_threads(mut self, most: usize) -> Self {
        self.threads = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
        self
    }

    /// Connects as `connector` does, on the same threads: for the attempts of
    /// [`Targets::connect_with`](super::Targets::connect_with).
    #[must_use]
    pub fn with_connector(&self, connector: Connector) -> Self {
        let threads = Arc::clone(&self.threads);
        Self { connector, threads }
    }

    /// Connects to the target of a relay: to a UNIX socket with the credentials of the client, to any
    /// other as [`Connector::connect_target`] does.
    ///
    /// # Errors
    /// [`TargetError`]; nothing was connected then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers.
    ///
    /// # Cancel safety
    /// Dropping the future gives up. A connection that is being made meanwhile is closed.
    pub async fn connect_target(
        &self,
        address: &RelayAddress,
        client: &ClientCredentials,
    ) -> Result<TargetSocket, TargetError> {
        let connected = match address.unix() {
            Some(name) if name.kind() == Kind::Stream => {
                self.connect(name, client).await.map(TargetSocket::Stream)
            }
            Some(name) if name.kind() == Kind::SeqPacket => {
                let connected = self.connect_seqpacket(name, client).await;
                connected.map(TargetSocket::SeqPacket)
            }
            _ => return self.connector.connect_target(address).await,
        };
        connected.map_err(|error| {
            let kind = match error {
                CredentialsError::Connect(error) => TargetErrorKind::Unix(error),
                other => TargetErrorKind::Credentials(other),
            };
            TargetError::new(address, kind)
        })
    }

    /// Connects a stream.
    ///
    /// # Errors
    /// [`CredentialsError`]; nothing was connected then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers.
    ///
    /// # Cancel safety
    /// Dropping the future gives up. A connection that is being made meanwhile is closed.
    pub async fn connect(
        &self,
        address: &Address,
        client: &ClientCredentials,
    ) -> Result<Stream, CredentialsError> {
        let connected = self.connect_kind(address, client, Kind::Stream).await?;
        Ok(self.connector.stream(address, connected)?)
    }

    /// Connects a seqpacket socket.
    ///
    /// # Errors
    /// [`CredentialsError`]; nothing was connected then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers.
    ///
    /// # Cancel safety
    /// Dropping the future gives up. A connection that is being made meanwhile is closed.
    pub async fn connect_seqpacket(
        &self,
        address: &Address,
        client: &ClientCredentials,
    ) -> Result<SeqPacket, CredentialsError> {
        let connected = self.connect_kind(address, client, Kind::SeqPacket).await?;
        Ok(self.connector.seqpacket(address, connected)?)
    }

    /// Has `socket` send to `address` from now on, and receive from nobody else. A datagram socket shows
    /// no peer credentials; the permissions of the path are checked here, and not when it sends.
    ///
    /// # Errors
    /// [`CredentialsError`]
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    ///
    /// # Cancel safety
    /// Dropping the future gives up. The socket may have been connected, or may be connected soon after.
    pub async fn connect_datagram(
        &self,
        socket: &Datagram,
        address: &Address,
        client: &ClientCredentials,
    ) -> Result<(), CredentialsError> {
        let socket = socket.as_fd().try_clone_to_owned();
        let socket = Arc::new(socket.map_err(|error| ConnectError::io(address, error))?);
        let connect = move |address: &Address| send_to(socket.as_fd(), address);
        self.connect_as(address, client, connect).await
    }

    async fn connect_kind(
        &self,
        address: &Address,
        client: &ClientCredentials,
        kind: Kind,
    ) -> Result<ConnectedFd, CredentialsError> {
        let connector = self.connector.clone();
        let connect = move |address: &Address| connector.attempt(address, kind);
        self.connect_as(address, client, connect).await
    }

    async fn connect_as<T: Send + 'static>(
        &self,
        address: &Address,
        client: &ClientCredentials,
        connect: impl Fn(&Address) -> Result<T, AttemptFailure> + Clone + Send + 'static,
    ) -> Result<T, CredentialsError> {
        if let Name::Fd(_) | Name::Systemd(_) = address.name() {
            return Err(CredentialsError::Inherited(address.clone()));
        }
        let limit = self.connector.max_connect_time().max(LEAST_TIMEOUT);
        let mut attempts = Attempts::new(&self.connector, address);
        loop {
            let attempt = self.attempt_as(address, client, connect.clone());
            let Ok(done) = timeout(limit, attempt).await else {
                return Err(CredentialsError::TimedOut {
                    address: address.clone(),
                    waited: limit,
                });
            };
            match done? {
                Ok(connected) => return Ok(connected),
                Err(AttemptFailure::Final(error)) => return Err((*error).into()),
                Err(AttemptFailure::Errno(errno)) => match attempts.pause_after_errno(errno) {
                    Ok(pause) => sleep(pause).await,
                    Err(given_up) => {
                        let at = address.clone();
                        // It can wait for a mount that hangs, and start a thread for that.
                        let explained = tokio::task::spawn_blocking(move || given_up.explain(&at));
                        return Err(match explained.await {
                            Ok(error) => error.into(),
                            Err(error) => ConnectError::io(address, io::Error::other(error)).into(),
                        });
                    }
                },
            }
        }
    }

    /// One connect(2) on a thread of its own.
    async fn attempt_as<T: Send + 'static>(
        &self,
        address: &Address,
        client: &ClientCredentials,
        connect: impl Fn(&Address) -> Result<T, AttemptFailure> + Send + 'static,
    ) -> Result<Result<T, AttemptFailure>, CredentialsError> {
        let Ok(permit) = Arc::clone(&self.threads).acquire_owned().await else {
            unreachable!("nobody closes it");
        };
        let address = address.clone();
        let connect = move || {
            connect(&address).map_err(|failure| match failure {
                // Only here the permissions are those of the client. It looks at each directory of the
                // path, and starts neither a thread nor a process.
                AttemptFailure::Errno(Errno::ACCESS) => {
                    ConnectError::explain(&address, Errno::ACCESS, Duration::ZERO).into()
                }
                other => other,
            })
        };
        client_thread::run(client.clone(), permit, connect).await
    }
}

#[cfg(test)]
mod tests;
