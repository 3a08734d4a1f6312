//! [`DatagramReceiver`]: receives from the clients and sends to the targets.

use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::UCred;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::loss::{DatagramSource, Loss};
use super::report::add;
use super::sender::RelaySender;
use super::senders::{NoSender, SenderTable};
use super::sending::{DatagramFailure, send, wait_for_room};
use super::state::DatagramRelayState;
use super::targets::DatagramTargets;
use crate::address::Address;
use crate::ancillary::{Received, RecvError, close_in_background};
use crate::peer::Peer;
use crate::relay::FdPolicy;

/// How many datagrams are passed on before the task yields.
const BATCH: usize = 32;
/// How often it is tried again in a drain while the fds of the next datagram do not fit.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct DatagramReceiver {
    state: Arc<DatagramRelayState>,
    /// Cancelled when shutdown begins.
    stop: CancellationToken,
    targets: DatagramTargets,
    senders: SenderTable,
    buffer: Vec<u8>,
}

/// A datagram that was received; its bytes are in the buffer.
struct Taken {
    received: Received,
    credentials: Option<UCred>,
    is_observed: bool,
    state: Arc<DatagramRelayState>,
    is_settled: bool,
}

/// A datagram whose target has no room, and its outgoing socket; `None` where none could be opened now.
type WaitingDatagram = (Taken, Option<Arc<RelaySender>>);

impl DatagramReceiver {
    pub(super) fn new(
        state: &Arc<DatagramRelayState>,
        targets: Vec<Address>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            state: Arc::clone(state),
            stop,
            targets: DatagramTargets::new(targets),
            senders: SenderTable::new(state),
            buffer: vec![0; state.options.max_record],
        }
    }

    /// Passes datagrams on until shutdown begins, then those that are queued, and waits until every
    /// sender is quiet.
    ///
    /// # Errors
    /// Receiving has failed for good.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        let state = Arc::clone(&self.state);
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                () = state.has_ended.notified() => self.senders.forget_ended(),
                came = async {
                    state.room_of_observer().await;
                    state.listening.recv_ready(|| self.pass_queued()).await
                } => {
                    if !self.go_on(came).await? {
                        break;
                    }
                }
            }
        }
        // The queue of an adopted socket is left to the other processes that have it.
        while !state.listening.is_adopted()
            && let Some(came) = self.pass_queued().transpose()
        {
            if !self.go_on(came).await? {
                break;
            }
            state.room_of_observer().await;
        }
        let timeout = state.options.drain_timeout;
        // Those who are not quiet by then are aborted.
        let _ = tokio::time::timeout(timeout, self.senders.drain()).await;
        Ok(())
    }

    /// Ends all that still waits, at the drain timeout, and counts what is queued.
    pub(super) async fn abort(&mut self) {
        self.senders.abort().await;
        let listening = &self.state.listening;
        while !listening.is_adopted()
            && let Some(left) = listening.try_recv_with_fds(&mut []).transpose()
        {
            let fds = match left {
                Ok(received) => {
                    let fds = received.descriptors.len();
                    close_in_background(received.descriptors);
                    fds
                }
                Err(RecvError::TooLong { .. } | RecvError::DescriptorsLost) => 0,
                Err(_) => break,
            };
            self.state
                .to_target
                .counters
                .lost(Loss::Aborted.kind(), fds);
        }
    }

    /// Receives what is queued and sends each datagram at once: until one has to wait, or for as long as
    /// a task may run. `None` if the queue is empty.
    fn pass_queued(&mut self) -> Result<Option<Option<WaitingDatagram>>, RecvError> {
        for _ in 0..BATCH {
            if !self.state.observer_has_room() {
                break;
            }
            let listening = &self.state.listening;
            let Some(received) = listening.try_recv_with_fds(&mut self.buffer)? else {
                return Ok(None);
            };
            let waiting = self.admit(received).and_then(|taken| self.pass(taken));
            if waiting.is_some() {
                return Ok(Some(waiting));
            }
        }
        Ok(Some(None))
    }

    /// Waits with the datagram that has no room; returns `false` where another process has shut the
    /// socket down.
    async fn go_on(
        &mut self,
        came: Result<Option<WaitingDatagram>, RecvError>,
    ) -> io::Result<bool> {
        match came {
            Ok(None) => tokio::task::yield_now().await,
            Ok(Some((taken, sender))) => self.wait(taken, sender).await,
            Err(RecvError::StillClosing) => tokio::time::sleep(PAUSE).await,
            Err(RecvError::TooLong { size, .. }) => {
                self.lost_unseen(Loss::TooLong, &format!("{size} bytes"));
            }
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(false);
            }
            Err(RecvError::Io(error)) => return Err(error),
            Err(_) => self.lost_unseen(Loss::FdsLost, ""),
        }
        Ok(true)
    }

    /// Checks a datagram against the rules; one that breaks them is dropped. Every datagram passes here
    /// once, before it is sent.
    fn admit(&self, received: Received) -> Option<Taken> {
        let state = &self.state;
        let mut taken = Taken {
            received,
            credentials: None,
            is_observed: false,
            state: Arc::clone(state),
            is_settled: false,
        };
        let peer = taken.received.credentials;
        if let Some(allowed) = &state.options.allowed {
            let process = taken.received.pidfd.as_ref();
            // A sender whose groups are not known is a member of none.
            if !peer.is_some_and(|peer| allowed.admits_sender(&peer, process).unwrap_or(false)) {
                taken.lost(Loss::NotAllowed, "");
                return None;
            }
        }
        if state.options.forwards_credentials {
            taken.credentials = peer.and_then(Peer::to_credentials);
            if taken.credentials.is_none() {
                taken.lost(Loss::UnknownSender, "");
                return None;
            }
        }
        if !taken.received.descriptors.is_empty() && state.options.fds != FdPolicy::Pass {
            if state.options.fds == FdPolicy::Refuse {
                taken.lost(Loss::FdsNotAllowed, "");
                return None;
            }
            let fds = std::mem::take(&mut taken.received.descriptors);
            state.to_target.counters.lost_fds(fds.len());
            close_in_background(fds);
        }
        Some(taken)
    }

    /// Sends a datagram to its sender's target, or to the next target if that one has gone; returns it
    /// where it has to wait for room.
    fn pass(&mut self, mut taken: Taken) -> Option<WaitingDatagram> {
        // A target that has just gone may be there again at once, once.
        for _ in 0..=self.targets.len() {
            let address = &taken.received.sender;
            let peer = taken.received.credentials;
            let sender = match self.senders.get(address, peer, &mut self.targets) {
                Ok(sender) => sender,
                Err(NoSender::Shortage) => return Some((taken, None)),
                Err(NoSender::NoTarget(why)) => {
                    let why = why.map(|(target, errno)| {
                        let errno = io::Error::from(errno);
                        format!("{}: {errno}", self.targets.address(target).quoted())
                    });
                    taken.lost(Loss::NoTarget, &why.unwrap_or_default());
                    return None;
                }
            };
            if !taken.is_observed {
                taken.is_observed = true;
                let bytes = &self.buffer[..taken.received.bytes];
                sender.observe(bytes, &taken.received.descriptors, peer);
            }
            match self.send(&sender, &taken) {
                Err(DatagramFailure::Gone) => self.gone(&sender),
                Err(DatagramFailure::Full) if !self.targets.is_full(sender.target) => {
                    return Some((taken, Some(sender)));
                }
                sent => {
                    self.settle(sent, taken, &sender);
                    return None;
                }
            }
        }
        taken.lost(Loss::NoTarget, "");
        None
    }

    /// One attempt.
    fn send(&self, sender: &RelaySender, taken: &Taken) -> Result<(), DatagramFailure> {
        let bytes = &self.buffer[..taken.received.bytes];
        let (credentials, fds) = (taken.credentials.as_ref(), &taken.received.descriptors);
        if !sender.may_send_fds(fds.len()) {
            return Err(DatagramFailure::Full);
        }
        send(sender.socket.as_fd(), None, credentials, bytes, fds)?;
        sender.sent_fds(fds.len());
        Ok(())
    }

    fn gone(&mut self, sender: &Arc<RelaySender>) {
        self.targets.set_aside(sender.target);
        self.senders.remove(sender);
    }

    /// Counts a datagram that was sent, or was not.
    fn settle(
        &mut self,
        sent: Result<(), DatagramFailure>,
        mut taken: Taken,
        sender: &RelaySender,
    ) {
        match sent {
            Ok(()) => {
                taken.is_settled = true;
                self.targets.set_full(sender.target, false);
                let counters = &self.state.to_target.counters;
                counters.sent(taken.received.bytes, taken.received.descriptors.len());
                if self.stop.is_cancelled() {
                    add(&self.state.drained, 1);
                }
            }
            Err(DatagramFailure::Full) => {
                self.targets.set_full(sender.target, true);
                let target = self.targets.address(sender.target).quoted();
                taken.lost(Loss::Full, &target);
            }
            Err(DatagramFailure::Gone) => taken.lost(Loss::NoTarget, ""),
            Err(DatagramFailure::Lost(loss, text)) => taken.lost(loss, &text),
        }
    }

    /// Waits for room, and receives nothing meanwhile: the senders block, as they would without a
    /// relay. It waits no longer than the deadline with one target.
    async fn wait(&mut self, mut taken: Taken, mut sender: Option<Arc<RelaySender>>) {
        let timeout = self.state.options.send_timeout;
        let began = Instant::now();
        for _ in 0..=self.targets.len() {
            while sender.is_none() {
                if began.elapsed() >= timeout {
                    return taken.lost(Loss::NoSocket, "");
                }
                tokio::time::sleep(PAUSE).await;
                match self.pass(taken) {
                    Some(waiting) => (taken, sender) = waiting,
                    None => return,
                }
            }
            let Some(to) = sender else { return };
            let socket = to.socket.as_fd();
            let sent = wait_for_room(socket, timeout, || {
                // It is not idle.
                to.touch(self.state.now());
                self.send(&to, &taken)
            });
            match sent.await {
                Err(DatagramFailure::Gone) => self.gone(&to),
                sent => return self.settle(sent, taken, &to),
            }
            match self.pass(taken) {
                Some(waiting) => (taken, sender) = waiting,
                None => return,
            }
        }
        taken.lost(Loss::NoTarget, "");
    }

    /// Counts a datagram that was lost on receipt.
    fn lost_unseen(&self, loss: Loss, detail: &str) {
        let source = DatagramSource {
            peer: None,
            address: None,
        };
        let direction = &self.state.to_target;
        self.state.lost(direction, loss, 0, source, detail);
    }
}

impl Taken {
    fn lost(&mut self, loss: Loss, detail: &str) {
        self.is_settled = true;
        let source = DatagramSource {
            peer: self.received.credentials,
            address: self.received.sender.as_ref(),
        };
        let (state, fds) = (&self.state, self.received.descriptors.len());
        state.lost(&state.to_target, loss, fds, source, detail);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let fds = &mut self.received.descriptors;
        if !self.is_settled {
            // The drain has ended.
            let lost = Loss::Aborted.kind();
            self.state.to_target.counters.lost(lost, fds.len());
        }
        close_in_background(fds.drain(..));
    }
}
