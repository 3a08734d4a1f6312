//! [`Session`]: a tap in front of one server, until that or the tap is to end.

use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sockeye::listener::{ConnectedSocket, SocketListener};
use sockeye::relay::{DatagramRelay, FdPolicy, RelayEnd};
use sockeye::server::{Connection, Server};
use sockeye::tap::TapEnd;
use sockeye::{Datagram, Kind, SeqPacket, Stream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::announce::announce;
use super::front::Front;
use super::joining::{self, TapJoiner};
use super::observers::Observers;
use super::signals::TapSignals;
use crate::args::TapArgs;
use crate::cmd::descriptor_limit;
use crate::output;

/// Clients that have looked up the path before it was given back connect within this time.
const LATE_CLIENTS: Duration = Duration::from_millis(50);

pub(super) struct Session<'a> {
    args: &'a TapArgs,
    signals: &'a TapSignals,
    observers: &'a Observers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// Told by a signal, or nobody reads the display.
    Told,
    ServerEnded,
}

/// The rest of a session: completes with the number of connections that the tap has ended with an error,
/// and of datagrams that it has dropped. A connection that goes on when the drain is over is none.
pub(super) type Drain = Pin<Box<dyn Future<Output = u64> + Send>>;

/// The fd of `--ready-fd`, which is written to once.
pub(super) struct Ready(Option<OwnedFd>);

impl Ready {
    pub(super) fn new(fd: Option<OwnedFd>) -> Self {
        Self(fd)
    }

    fn tell(&mut self) {
        if let Some(fd) = self.0.take()
            && let Err(error) = rustix::io::write(&fd, b"\n")
        {
            warn!("cannot write to the descriptor of --ready-fd: {error}; nobody was told");
        }
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        args: &'a TapArgs,
        signals: &'a TapSignals,
        observers: &'a Observers,
    ) -> Self {
        Self {
            args,
            signals,
            observers,
        }
    }

    /// Relays until the tap or the server is to end, gives the path back, and begins the drain.
    pub(super) async fn run(
        &self,
        mut front: Front,
        ready: &mut Ready,
    ) -> anyhow::Result<(SessionEnd, Drain)> {
        let stop = CancellationToken::new();
        let relaying = match self.args.address.kind() {
            Kind::Stream => self.connections::<Stream>(&mut front, &stop)?,
            Kind::SeqPacket => self.connections::<SeqPacket>(&mut front, &stop)?,
            Kind::Datagram => self.datagrams(&mut front, &stop)?,
        };
        announce(self.args, &front);
        ready.tell();
        let end = self.end(&mut front).await;
        front.restore();
        let drain = async move {
            sleep(LATE_CLIENTS).await;
            stop.cancel();
            let ended = relaying.await;
            // Clients of the backlog were connected through it.
            drop(front);
            ended.unwrap_or(1)
        };
        Ok((end, Box::pin(drain)))
    }

    fn connections<S>(
        &self,
        front: &mut Front,
        stop: &CancellationToken,
    ) -> anyhow::Result<JoinHandle<u64>>
    where
        S: ConnectedSocket,
        Connection<S>: AsFd + Into<RelayEnd>,
    {
        let listener: SocketListener<S> = front.listen()?;
        let joiner = TapJoiner::new(self.args, front.server(), self.observers.handle())?;
        let joiner = Arc::new(joiner);
        let mut server = Server::new()
            .drain_timeout(self.args.drain)
            .abort_on(self.signals.abort.clone())
            .task_per_handler();
        // Others wait in the backlog, instead of losing their connection for want of an fd.
        if let Some(most) = descriptor_limit::most_pairs() {
            server = server.max_connections(most);
        }
        if let Some(allowed) = joining::allowed(self.args) {
            server = server.allow_peers(allowed);
        }
        let stopped = stop.clone().cancelled_owned();
        Ok(tokio::spawn(async move {
            let handler = |connection| Arc::clone(&joiner).handle(connection);
            let report = match server.run(listener, handler, stopped).await {
                Ok(report) => report,
                Err(error) => {
                    error!("{error}; stopped");
                    error.report()
                }
            };
            joiner.tell_rest();
            info!("stopped: {report}");
            joiner.failed()
        }))
    }

    fn datagrams(
        &self,
        front: &mut Front,
        stop: &CancellationToken,
    ) -> anyhow::Result<JoinHandle<u64>> {
        let socket: Datagram = front.datagrams()?;
        let mut relay = DatagramRelay::new([front.server().clone()])
            .fds(FdPolicy::Pass)
            .max_record(joining::MAX_RECORD)
            // Senders wait for a server that does not read as long as without a tap.
            .send_timeout(Duration::MAX)
            .drain_timeout(self.args.drain)
            .observe(self.observers.handle().clone())
            .abort_on(self.signals.abort.clone());
        if joining::has_client_credentials(self.args) {
            relay = relay.forward_credentials();
        } else if let Some(allowed) = joining::allowed(self.args) {
            relay = relay.allow(allowed);
        }
        let stopped = stop.clone().cancelled_owned();
        Ok(tokio::spawn(async move {
            let report = match relay.run(socket, stopped).await {
                Ok(report) => report.summary(),
                Err(error) => {
                    error!("{error}; stopped");
                    error.report().summary()
                }
            };
            info!("stopped: {report}");
            report.failed + report.dropped_replies
        }))
    }

    /// Waits until it is to end.
    async fn end(&self, front: &mut Front) -> SessionEnd {
        let drain = output::duration(self.args.drain);
        tokio::select! {
            () = self.signals.stop.cancelled() => {
                let first = match self.args.listen {
                    None => "the path is given back",
                    Some(_) => "no new clients",
                };
                info!("stopping: {first}, draining for at most {drain}; a second signal aborts");
                SessionEnd::Told
            }
            () = self.observers.unread(self.args) => {
                info!("stopping: nobody reads standard output");
                SessionEnd::Told
            }
            end = front.ended() => {
                let why = match end {
                    TapEnd::ServerEnded => "the server has ended",
                    TapEnd::PathReplaced => "the socket file was replaced or removed",
                    _ => "the server has removed its socket file",
                };
                if self.args.follow {
                    info!("{why}; waiting for the next server");
                } else {
                    info!("stopping: {why}");
                }
                SessionEnd::ServerEnded
            }
        }
    }
}
