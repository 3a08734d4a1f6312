//! [`SenderTable`]: the outgoing socket of each sender.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use tokio::task::JoinSet;

use super::answers::Answers;
use super::report::add;
use super::sender::{OpenSenderError, RelaySender};
use super::state::DatagramRelayState;
use super::targets::{ChooseError, DatagramTargets};
use crate::address::Kind;
use crate::peer::Peer;
use crate::relay::FdPolicy;
use crate::relay::observer::ObservedSide;

pub(super) struct SenderTable {
    state: Arc<DatagramRelayState>,
    /// By address; `None` for all that have none.
    senders: HashMap<Option<SocketAddrUnix>, Arc<RelaySender>>,
    tasks: JoinSet<()>,
}

/// Why a sender has no outgoing socket.
pub(super) enum NoSender {
    /// No target can be connected to: the last one that was tried, and why.
    NoTarget(Option<(usize, Errno)>),
    /// We are short of fds, or of memory.
    Shortage,
}

impl SenderTable {
    pub(super) fn new(state: &Arc<DatagramRelayState>) -> Self {
        Self {
            state: Arc::clone(state),
            senders: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The outgoing socket of a sender, opened if there is none yet.
    ///
    /// # Errors
    /// [`NoSender`] says why there is none.
    pub(super) fn get(
        &mut self,
        address: &Option<SocketAddrUnix>,
        peer: Option<Peer>,
        targets: &mut DatagramTargets,
    ) -> Result<Arc<RelaySender>, NoSender> {
        let now = self.state.touch();
        if let Some(sender) = self.senders.get(address)
            && sender.touch(now)
        {
            return Ok(Arc::clone(sender));
        }
        self.forget_ended();
        if self.senders.len() >= self.state.options.max_senders {
            self.evict();
        }
        let accepts_fds = self.state.options.fds != FdPolicy::Refuse;
        let mut last = None;
        let opened = targets.choose(|index, target| {
            let observe = || {
                let observer = self.state.options.observer.as_ref()?;
                ObservedSide::begin(observer, Kind::Datagram, peer)
            };
            let opened =
                RelaySender::open(address.clone(), (index, target), accepts_fds, now, observe);
            opened.map_err(|error| match error {
                OpenSenderError::Target(errno) => {
                    last = Some((index, errno));
                    ChooseError::Next
                }
                OpenSenderError::Shortage => ChooseError::Final(()),
            })
        });
        let sender = Arc::new(opened.map_err(|error| match error {
            Some(()) => {
                // Its fd is free once its task has ended.
                self.evict();
                NoSender::Shortage
            }
            None => NoSender::NoTarget(last),
        })?);
        add(&self.state.senders, 1);
        let answers = Answers::new(Arc::clone(&sender), Arc::clone(&self.state));
        self.tasks.spawn(answers.run());
        self.senders.insert(address.clone(), Arc::clone(&sender));
        Ok(sender)
    }

    /// Closes the socket that was used least recently.
    fn evict(&mut self) {
        let oldest = self.senders.values().min_by_key(|sender| sender.used());
        if let Some(oldest) = oldest.map(Arc::clone) {
            self.remove(&oldest);
            add(&self.state.evicted, 1);
        }
    }

    /// Closes an outgoing socket: its sender gets another one with its next datagram.
    pub(super) fn remove(&mut self, sender: &Arc<RelaySender>) {
        sender.close();
        self.forget(sender);
    }

    /// Forgets the senders whose sockets were closed.
    pub(super) fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        for ended in self.state.take_ended() {
            self.forget(&ended);
        }
    }

    fn forget(&mut self, sender: &Arc<RelaySender>) {
        let known = self.senders.get(&sender.address);
        // It may have another one by now.
        if known.is_some_and(|known| Arc::ptr_eq(known, sender)) {
            self.senders.remove(&sender.address);
        }
    }

    /// Waits until every sender is quiet.
    pub(super) async fn drain(&mut self) {
        self.state.is_draining.store(true, Ordering::Release);
        for sender in self.senders.values() {
            sender.changed.notify_one();
        }
        while self.tasks.join_next().await.is_some() {
            self.forget_ended();
        }
    }

    /// Closes all of them at once.
    pub(super) async fn abort(&mut self) {
        self.tasks.shutdown().await;
        self.senders.clear();
    }
}
