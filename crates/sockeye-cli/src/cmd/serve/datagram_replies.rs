//! [`DatagramReplies`]: the replies to datagrams, and queues of those that have to wait.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use rustix::net::SocketAddrUnix;
use sockeye::ancillary::SendError;
use sockeye::{Datagram, Peer};
use tokio::task::JoinSet;

use super::handler::Handler;
use super::undelivered::Undelivered;

/// How many replies may wait for room in their receivers' queues.
const MAX_WAITING: usize = 256;
/// How many of them for one receiver, so that there are some left for others.
const MAX_WAITING_FOR_ONE: usize = 128;
pub(super) const NO_ADDRESS: &str =
    "has no address and cannot be answered; it must bind its socket";

/// Sends at once where there is room, otherwise in a task for each receiver: one that does not read
/// holds up nobody else, and what it gets stays in order.
pub(super) struct DatagramReplies {
    queues: Arc<ReplyQueues>,
    tasks: Mutex<JoinSet<()>>,
}

struct ReplyQueues {
    socket: Arc<Datagram>,
    handler: Arc<Handler>,
    undelivered: Undelivered,
    waiting: Mutex<WaitingReplies>,
}

/// The replies for each receiver that has no room; the first one is being sent.
type WaitingReplies = HashMap<SocketAddrUnix, VecDeque<(Bytes, Option<Peer>)>>;

impl DatagramReplies {
    pub(super) fn new(socket: &Arc<Datagram>, handler: &Arc<Handler>) -> Self {
        Self {
            queues: Arc::new(ReplyQueues {
                socket: Arc::clone(socket),
                handler: Arc::clone(handler),
                undelivered: Undelivered::default(),
                waiting: Mutex::default(),
            }),
            tasks: Mutex::default(),
        }
    }

    pub(super) async fn send(&self, reply: &[u8], to: SocketAddrUnix, peer: Option<Peer>) {
        while lock(&self.tasks).try_join_next().is_some() {}
        let queues = &self.queues;
        let log = &queues.handler.log;
        if !lock(&queues.waiting).contains_key(&to) {
            let mut sent = pin!(queues.socket.send_msg_to(reply, &[], &to));
            let first = poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx))).await;
            if let Poll::Ready(sent) = first {
                return queues.undelivered.tell(log, sent, &to, peer);
            }
        }
        let mut waiting = lock(&queues.waiting);
        let for_all: usize = waiting.values().map(VecDeque::len).sum();
        let for_one = waiting.get(&to).map_or(0, VecDeque::len);
        let bytes: usize = waiting.values().flatten().map(|(some, _)| some.len()).sum();
        let is_full = bytes + reply.len() > queues.handler.max_buffered;
        if is_full || for_all >= MAX_WAITING || for_one >= MAX_WAITING_FOR_ONE {
            queues.undelivered.count(1);
            let text = "does not read its replies, and too many wait; this one is dropped";
            return log.complain(|| peer, text);
        }
        let reply = (Bytes::copy_from_slice(reply), peer);
        match waiting.entry(to) {
            Entry::Occupied(mut queue) => queue.get_mut().push_back(reply),
            Entry::Vacant(entry) => {
                let deliver = Arc::clone(queues).deliver(entry.key().clone());
                lock(&self.tasks).spawn(deliver);
                entry.insert(VecDeque::from([reply]));
            }
        }
    }

    /// How many replies have not been sent.
    pub(super) fn waiting(&self) -> u64 {
        let waiting = lock(&self.queues.waiting);
        waiting.values().map(|queue| queue.len() as u64).sum()
    }

    /// How many replies could not be delivered.
    pub(super) fn undelivered(&self) -> u64 {
        self.queues.undelivered.counted()
    }

    /// Waits until all have been sent or dropped.
    pub(super) async fn finish(&self) {
        while poll_fn(|cx| lock(&self.tasks).poll_join_next(cx))
            .await
            .is_some()
        {}
    }
}

impl ReplyQueues {
    /// Sends what waits for one receiver.
    async fn deliver(self: Arc<Self>, to: SocketAddrUnix) {
        let log = &self.handler.log;
        let next = || lock(&self.waiting).get(&to)?.front().cloned();
        while let Some((reply, peer)) = next() {
            match self.socket.send_msg_to(&reply, &[], &to).await {
                Err(SendError::Io(error)) if error.kind() == ErrorKind::TimedOut => {
                    // The others have waited long enough too.
                    let dropped = lock(&self.waiting)
                        .remove(&to)
                        .map_or(0, |queue| queue.len());
                    self.undelivered.count(dropped as u64);
                    let text = format!("did not read its replies in time; {dropped} were dropped");
                    return log.complain(|| peer, &text);
                }
                sent => self.undelivered.tell(log, sent, &to, peer),
            }
            if let Entry::Occupied(mut queue) = lock(&self.waiting).entry(to.clone()) {
                queue.get_mut().pop_front();
                if queue.get().is_empty() {
                    queue.remove();
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in there can be half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
