//! [`DatagramRelay`]: passes datagrams on to targets, and their answers back.

mod answers;
mod error;
mod loss;
mod options;
mod receiver;
mod report;
mod room;
mod sender;
mod senders;
mod sending;
mod state;
mod targets;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

pub use error::DatagramRelayError;
pub use report::{DatagramCounts, DatagramRelayReport};

use super::{FdPolicy, ObserverHandle};
use crate::address::{Address, Kind, Name};
use crate::ancillary::{self, MAX_DESCRIPTORS, may_send_credentials};
use crate::claim::ClaimOptions;
use crate::packet::Datagram;
use crate::peer::AllowedPeers;
use options::DatagramRelayOptions;
use receiver::DatagramReceiver;
use state::DatagramRelayState;

/// The kernel takes no larger datagram, whatever the send buffer.
const LARGEST: usize = 8 << 20;
/// Fds that are left for others than senders: two messages full of them, and what the process has open.
const RESERVED_FDS: u64 = 2 * MAX_DESCRIPTORS as u64 + 64;
/// The same where no fds are received.
const RESERVED_WITHOUT_FDS: u64 = 64;
/// Fds of answers that wait, however high `RLIMIT_NOFILE` is.
const MOST_WAITING_FDS: u64 = 4096;

/// Passes the datagrams of a bound socket on to one target, or to several in turn, and their answers
/// back.
///
/// # Senders and answers
///
/// Each sender that has an address gets an outgoing socket of its own, connected to one target (the
/// targets take turns) and bound to an abstract name that the kernel chooses. The target answers to
/// that name, and the answer goes to the sender from the listening socket, since a client that is
/// connected to the relay's path takes datagrams from no other. Only the target itself can answer: from
/// another socket than the one that has its address the kernel refuses it (`EPERM`).
///
/// Senders without an address share one outgoing socket without an address, so that the target sees that
/// it cannot answer. The datagrams of one sender stay in order.
///
/// An outgoing socket is closed when nothing has passed for the idle timeout; the target's sends to it
/// then fail with `ECONNREFUSED`, and the sender's next datagram opens another one. A new sender over
/// [`max_senders`](Self::max_senders) closes the one that was used least recently.
///
/// # Reliability
///
/// Datagrams of UNIX sockets are reliable: a sender waits for room in the queue of the receiver. So does
/// the relay. While a target's queue is full it receives nothing, and its senders wait as they would
/// without a relay. After [`send_timeout`](Self::send_timeout) the datagram is dropped, and those that
/// follow for the same target are dropped at once until it has room, so that it does not stall others.
/// Answers to a client without room wait in the relay and stall nobody: up to 1024 for each sender, or a
/// quarter of [`max_buffered`](Self::max_buffered), and for as long as the client takes one within the same
/// timeout. Over that a client that reads slows the target down, as it would without a relay; one that
/// takes nothing for a second loses answers. All answers are sent from the listening socket: clients that
/// do not read have a share of its send buffer, which the relay raises to 2 MiB where
/// `net.core.wmem_max` allows it.
///
/// A target that has gone (`ECONNREFUSED`, `EPIPE`) is connected to anew, once, or another one takes its
/// place; a datagram that no target takes is dropped. Datagrams over [`max_record`](Self::max_record) are
/// dropped, never truncated. What is dropped is counted, and logged with the feature `tracing` (at most
/// one line a second for each reason).
///
/// # Shutdown
///
/// When `shutdown` completes, the address is released and new datagrams are refused. Those that are
/// queued are passed on, except on an adopted socket, whose queue is left to the other processes that
/// have it. Then answers still come back until each sender has been quiet, in both directions, for one
/// second. At the [`drain_timeout`](Self::drain_timeout), or at an abort, what is left is counted as
/// aborted.
///
/// ```no_run
/// use sockeye::relay::{DatagramRelay, FdPolicy};
/// use sockeye::{Claim, Datagram};
///
/// # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
/// let relay = DatagramRelay::new(["dgram:/run/app.real".parse()?]).fds(FdPolicy::Pass);
/// // Passes fds and reports credentials from the first datagram on.
/// let options = relay.claim_options(Claim::options().mode(0o660));
/// let socket = Datagram::from_claim(options.claim(&"dgram:/run/app.sock".parse()?)?)?;
/// let report = relay.run(socket, shutdown).await?;
/// println!("{}", report.summary());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "SOCK_DGRAM")]
#[doc(alias = "proxy")]
#[derive(Debug, Clone)]
pub struct DatagramRelay {
    targets: Vec<Address>,
    fds: FdPolicy,
    forwards_credentials: bool,
    observer: Option<ObserverHandle>,
    allowed: Option<AllowedPeers>,
    max_record: usize,
    max_senders: usize,
    max_buffered: usize,
    idle_timeout: Duration,
    send_timeout: Duration,
    drain_timeout: Duration,
    exit_idle: Option<Duration>,
    abort: CancellationToken,
}

impl DatagramRelay {
    /// A relay to these targets, which passes fds.
    pub fn new(targets: impl IntoIterator<Item = Address>) -> Self {
        Self {
            targets: targets.into_iter().collect(),
            fds: FdPolicy::Pass,
            forwards_credentials: false,
            observer: None,
            allowed: None,
            max_record: LARGEST,
            max_senders: 1024,
            max_buffered: 64 << 20,
            idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            exit_idle: None,
            abort: CancellationToken::new(),
        }
    }

    /// What to do with fds that a client or a target passes; default [`FdPolicy::Pass`]. Where they are
    /// refused and come nevertheless (before Linux 6.16), their datagram is dropped.
    ///
    /// A datagram whose receiver refuses fds is dropped. While this process has no room for the fds of
    /// the next datagram, that and all behind it stay in the kernel's queue. Where `RLIMIT_NOFILE` is
    /// too low for 253 fds at any time, the datagram is dropped.
    #[must_use]
    pub fn fds(mut self, policy: FdPolicy) -> Self {
        self.fds = policy;
        self
    }

    /// Each datagram to a target carries the credentials of its sender (`SCM_CREDENTIALS`), instead of
    /// ours. That takes root (`CAP_SETUID` and `CAP_SETGID`, and
    /// `CAP_SYS_ADMIN` for the pid). The pid is ours where the sender has ended by then or is outside
    /// of our pid namespace. A datagram whose sender is not known is dropped. An answer has our
    /// credentials.
    ///
    /// Claim the address with [`Self::claim_options`]: datagrams that were queued before `SO_PASSCRED`
    /// was on are of unknown senders.
    #[doc(alias = "SCM_CREDENTIALS")]
    #[must_use]
    pub fn forward_credentials(mut self) -> Self {
        self.forwards_credentials = true;
        self
    }

    /// Hands over to an [`Observer`](super::Observer) what is passed on, before it is sent. Each outgoing
    /// socket is a connection: it begins with the first datagram, with the credentials of its sender
    /// where they are reported ([`forward_credentials`](Self::forward_credentials),
    /// [`allow`](Self::allow)), and ends when it is closed. A datagram that is dropped later was observed
    /// nevertheless.
    #[must_use]
    pub fn observe(mut self, observer: ObserverHandle) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Who may send; default everybody. Datagrams of others are dropped.
    #[must_use]
    pub fn allow(mut self, allowed: AllowedPeers) -> Self {
        self.allowed = Some(allowed);
        self
    }

    /// The most bytes of a datagram, either way; default 8 MiB, which is more than the kernel takes. So
    /// much address space is reserved, and memory only for what comes.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// How many outgoing sockets may be open at a time; default 1024. There are fewer where
    /// `RLIMIT_NOFILE` leaves less room beside 253 fds of a message and what else the process opens.
    #[must_use]
    pub fn max_senders(mut self, senders: usize) -> Self {
        self.max_senders = senders;
        self
    }

    /// How many bytes of answers may wait for room in the queues of all clients together; default 64
    /// MiB. An answer over that is dropped. A sender has a quarter of it, and one answer more.
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// How long nothing may pass, either way, before the outgoing socket of a sender is closed; default
    /// 60 seconds.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a datagram may wait for room in the queue of its receiver before it is dropped; default
    /// ten seconds.
    #[must_use]
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = timeout;
        self
    }

    /// How long a shutdown may take; default ten seconds.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Begins shutdown when no datagram has passed for so long, either way; default never. For socket
    /// activation: what comes later stays in the queue of the adopted socket.
    #[must_use]
    pub fn exit_idle(mut self, time: Duration) -> Self {
        self.exit_idle = Some(time);
        self
    }

    /// Ends the drain at once when `token` is cancelled.
    #[must_use]
    pub fn abort_on(mut self, token: CancellationToken) -> Self {
        self.abort = token;
        self
    }

    /// The options of a claim with what this relay needs from the first datagram on: a datagram socket
    /// receives as soon as it is bound.
    #[must_use]
    pub fn claim_options(&self, options: ClaimOptions) -> ClaimOptions {
        options
            .pass_credentials(self.needs_credentials())
            .allow_fd_passing(self.fds != FdPolicy::Refuse)
    }

    /// Passes datagrams on until `shutdown` completes, then drains, as described above.
    ///
    /// # Errors
    /// [`DatagramRelayError`]. A target that cannot be reached is no error: its datagrams are dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers.
    ///
    /// # Cancel safety
    /// Dropping the future releases the address; a datagram that was received may be lost.
    pub async fn run(
        self,
        mut socket: Datagram,
        shutdown: impl Future<Output = ()>,
    ) -> Result<DatagramRelayReport, DatagramRelayError> {
        self.check_targets(&socket)?;
        self.set_up(&mut socket)?;
        let options = self.options();
        let drain_timeout = options.drain_timeout;
        let state = DatagramRelayState::new(options, socket);
        let stop = CancellationToken::new();
        let mut receiver = DatagramReceiver::new(&state, self.targets, stop.clone());
        let ended = {
            let mut work = pin!(receiver.run());
            let shutdown = async {
                tokio::select! {
                    biased;
                    () = shutdown => {}
                    () = state.idle_for(self.exit_idle) => {}
                }
            };
            tokio::select! {
                biased;
                () = shutdown => {
                    stop.cancel();
                    refuse_new_clients(&state.listening);
                    tokio::select! {
                        biased;
                        ended = work => Some(ended),
                        () = self.abort.cancelled() => None,
                        () = tokio::time::sleep(drain_timeout) => None,
                    }
                }
                () = self.abort.cancelled() => None,
                ended = &mut work => Some(ended),
            }
        };
        refuse_new_clients(&state.listening);
        receiver.abort().await;
        let report = state.report();
        match ended {
            Some(Err(source)) => {
                let report = Box::new(report);
                Err(DatagramRelayError::Receive { source, report })
            }
            Some(Ok(())) | None => Ok(report),
        }
    }

    fn check_targets(&self, socket: &Datagram) -> Result<(), DatagramRelayError> {
        if self.targets.is_empty() {
            return Err(DatagramRelayError::NoTarget);
        }
        let own = socket.address();
        for target in &self.targets {
            if target.kind() != Kind::Datagram
                || !matches!(target.name(), Name::Path(_) | Name::Abstract(_))
            {
                return Err(DatagramRelayError::NotATarget(target.clone()));
            }
            if own.as_ref() == Some(target) {
                return Err(DatagramRelayError::Itself(target.clone()));
            }
        }
        Ok(())
    }

    fn set_up(&self, socket: &mut Datagram) -> Result<(), DatagramRelayError> {
        if self.forwards_credentials {
            may_send_credentials()
                .map_err(|errno| DatagramRelayError::Credentials(errno.into()))?;
        }
        self.set_options(socket).map_err(DatagramRelayError::Setup)
    }

    /// Of a claimed socket they are set already.
    fn set_options(&self, socket: &mut Datagram) -> io::Result<()> {
        if self.needs_credentials() {
            ancillary::pass_credentials(&*socket, true)?;
        }
        if self.allowed.as_ref().is_some_and(AllowedPeers::has_groups) {
            // Before Linux 6.5 only the first groups of the senders are known.
            let _ = ancillary::pass_pidfds(&*socket, true);
        }
        socket.keep_accepting_fds();
        socket.allow_fd_passing(self.fds != FdPolicy::Refuse)
    }

    fn needs_credentials(&self) -> bool {
        self.forwards_credentials || self.allowed.is_some()
    }

    fn options(&self) -> DatagramRelayOptions {
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let reserved = match self.fds {
            FdPolicy::Refuse => RESERVED_WITHOUT_FDS,
            FdPolicy::Pass | FdPolicy::Drop => RESERVED_FDS,
        };
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let senders = number(open_files.saturating_sub(reserved));
        DatagramRelayOptions {
            fds: self.fds,
            forwards_credentials: self.forwards_credentials,
            observer: self.observer.clone(),
            allowed: self.allowed.clone(),
            max_record: self.max_record,
            max_senders: self.max_senders.min(senders).max(1),
            max_buffered: self.max_buffered,
            max_waiting_fds: number((open_files / 4).min(MOST_WAITING_FDS)),
            idle_timeout: self.idle_timeout,
            send_timeout: self.send_timeout,
            drain_timeout: self.drain_timeout,
        }
    }
}

fn refuse_new_clients(socket: &Datagram) {
    if let Err(error) = socket.refuse_new_clients() {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            "cannot remove the socket file: {error}; remove it, or let the next server replace it"
        );
        #[cfg(not(feature = "tracing"))]
        drop(error);
    }
}
