//! [`Answers`]: passes on what the target sends to one outgoing socket.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::time::Instant;

use super::loss::{DatagramSource, Loss};
use super::room::ClientShare;
use super::sender::RelaySender;
use super::sending::{DatagramFailure, backoff, send};
use super::state::{DatagramRelayState, with_buffer};
use crate::ancillary::{RecvError, close_in_background};
use crate::backoff::Backoff;
use crate::relay::FdPolicy;

/// How long a sender may be quiet in a drain before its outgoing socket is closed.
const QUIET: Duration = Duration::from_secs(1);
/// How many answers of one sender may wait.
const MAX_WAITING: usize = 1024;
/// One sender may have this part of the bytes that may wait.
const SHARE: usize = 4;
/// How long a client with so many may take nothing before more are dropped. Until then the target waits,
/// and with it its answers to others.
const STALL: Duration = Duration::from_secs(1);
/// How many answers are passed on before the task yields.
const BATCH: usize = 16;
/// How often it is tried again while the fds of the next answer do not fit.
const PAUSE: Duration = Duration::from_millis(20);

/// A task for each outgoing socket. Answers without room wait here: left in the kernel's queue they would
/// fill the send buffer of the target, since the queue of a socket that is connected to its sender has no
/// other bound, and so stall the target's answers to everybody.
pub(super) struct Answers {
    sender: Arc<RelaySender>,
    state: Arc<DatagramRelayState>,
    waiting: VecDeque<WaitingAnswer>,
    waiting_bytes: usize,
    share: ClientShare,
    /// Since when the client has taken nothing, while answers wait.
    full_since: Instant,
    backoff: Backoff,
    /// Whether answers have waited for the whole deadline, and none was taken since.
    is_deaf: bool,
}

/// An answer that waits for room.
struct WaitingAnswer {
    state: Arc<DatagramRelayState>,
    bytes: Box<[u8]>,
    fds: Vec<OwnedFd>,
    is_settled: bool,
}

impl Answers {
    pub(super) fn new(sender: Arc<RelaySender>, state: Arc<DatagramRelayState>) -> Self {
        Self {
            sender,
            state,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            share: ClientShare::default(),
            full_since: Instant::now(),
            backoff: backoff(),
            is_deaf: false,
        }
    }

    /// Passes answers on until the socket is idle, or closed by the relay.
    pub(super) async fn run(mut self) {
        let mut idle = pin!(tokio::time::sleep(self.state.options.idle_timeout));
        let mut retry = pin!(tokio::time::sleep(Duration::ZERO));
        let sender = Arc::clone(&self.sender);
        loop {
            let waits = !self.waiting.is_empty();
            let reads = !self.is_paused();
            let came = tokio::select! {
                biased;
                came = async {
                    sender.room_for_answer().await;
                    sender.socket.recv_ready(|| self.pass_queued()).await
                }, if reads => Some(came),
                () = sender.changed.notified() => None,
                () = &mut retry, if waits => {
                    self.send_waiting();
                    retry.as_mut().reset(after(self.backoff.next_pause()));
                    continue;
                }
                () = &mut idle => None,
            };
            let goes_on = match came {
                Some(came) => {
                    let goes_on = self.go_on(came).await;
                    // The other branches are not polled while the target floods.
                    if waits && retry.deadline() <= Instant::now() {
                        self.send_waiting();
                        retry.as_mut().reset(after(self.backoff.next_pause()));
                    }
                    goes_on && sender.used().is_some()
                }
                None => self.idle_until().is_some_and(|until| {
                    idle.as_mut().reset(until);
                    true
                }),
            };
            if !goes_on {
                break;
            }
            if !waits && !self.waiting.is_empty() {
                retry.as_mut().reset(after(self.backoff.next_pause()));
            }
        }
        self.finish().await;
    }

    /// When the socket is idle, if no more datagrams pass; `None` where it is closed, now at the latest.
    fn idle_until(&self) -> Option<Instant> {
        loop {
            let used = self.sender.used()?;
            let options = &self.state.options;
            let idle = if self.state.is_draining.load(Ordering::Acquire) {
                options.idle_timeout.min(QUIET)
            } else {
                options.idle_timeout
            };
            let now = self.state.now();
            let left = idle.saturating_sub(Duration::from_millis(now.saturating_sub(used)));
            if !left.is_zero() {
                return Some(after(left));
            }
            if self.sender.close_if_unused_since(used) {
                return None;
            }
        }
    }

    /// What has come by now is passed on; the target's sends fail from now on.
    async fn finish(mut self) {
        self.sender.close();
        // What it says is of no use: the socket is closed next.
        let _ = rustix::net::shutdown(&self.sender.socket, Shutdown::Read);
        let mut has_more = true;
        while has_more {
            if self.is_paused() {
                tokio::time::sleep(self.backoff.next_pause()).await;
                self.send_waiting();
                continue;
            }
            Arc::clone(&self.sender).room_for_answer().await;
            has_more = match self.pass_queued() {
                Ok(None) => false,
                came => self.go_on(came.map(|_| ())).await,
            };
        }
        while !self.waiting.is_empty() {
            tokio::time::sleep(self.backoff.next_pause()).await;
            self.send_waiting();
        }
        self.sender.end_observed();
        self.state.note_ended(self.sender);
    }

    /// Receives what is queued and sends each answer at once, or lets it wait, for as long as a task may
    /// run. `None` if the queue is empty.
    fn pass_queued(&mut self) -> Result<Option<()>, RecvError> {
        let waits_none = self.waiting.is_empty();
        with_buffer(self.state.options.max_record, |buffer| {
            for _ in 0..BATCH {
                if self.is_paused() || !self.sender.has_room_for_answer() {
                    break;
                }
                let Some(received) = self.sender.socket.try_recv_with_fds(buffer)? else {
                    // Where the first one waits, the timer is to be set.
                    let begins = waits_none && !self.waiting.is_empty();
                    return Ok(begins.then_some(()));
                };
                let bytes = &buffer[..received.bytes];
                self.pass(bytes, received.descriptors);
            }
            Ok(Some(()))
        })
    }

    /// Sends an answer, or lets it wait for room. Every answer passes here once, before it is sent.
    fn pass(&mut self, bytes: &[u8], mut fds: Vec<OwnedFd>) {
        self.sender.touch(self.state.touch());
        let policy = self.state.options.fds;
        if !fds.is_empty() && policy != FdPolicy::Pass {
            let count = fds.len();
            close_in_background(std::mem::take(&mut fds));
            if policy == FdPolicy::Refuse {
                return self.lost(Loss::FdsNotAllowed, count, "");
            }
            self.state.to_client.counters.lost_fds(count);
        }
        self.sender.observe_answer(bytes, &fds);
        let sent = if self.waiting.is_empty() {
            self.send(bytes, &fds)
        } else {
            // Behind the others.
            Err(DatagramFailure::Full)
        };
        if matches!(sent, Err(DatagramFailure::Full)) && !self.is_deaf {
            return self.push_waiting(bytes, fds);
        }
        self.settle(sent, bytes.len(), fds.len());
        close_in_background(fds);
    }

    /// Whether no more answers may wait.
    fn has_its_share(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
            || self.waiting_bytes >= self.state.options.max_buffered / SHARE
    }

    /// Whether the next answers are left in the kernel, so that the target waits: for a client that reads,
    /// and too slowly.
    fn is_paused(&self) -> bool {
        self.has_its_share() && self.full_since.elapsed() < STALL
    }

    fn push_waiting(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) {
        if self.has_its_share() || !self.state.may_wait(bytes.len(), fds.len()) {
            self.lost(Loss::TooManyWait, fds.len(), "");
            return close_in_background(fds);
        }
        if self.waiting.is_empty() {
            self.full_since = Instant::now();
            self.backoff = backoff();
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(WaitingAnswer {
            state: Arc::clone(&self.state),
            bytes: bytes.into(),
            fds,
            is_settled: false,
        });
    }

    /// Sends what waits, in order, until there is no room. What has waited for the whole deadline is
    /// dropped, and all behind it.
    fn send_waiting(&mut self) {
        self.sender.touch(self.state.now());
        while let Some(mut answer) = self.waiting.pop_front() {
            let sent = if self.is_deaf {
                Err(DatagramFailure::Full)
            } else {
                self.send(&answer.bytes, &answer.fds)
            };
            match sent {
                Err(DatagramFailure::Full) if self.is_deaf => {}
                Err(DatagramFailure::Full) => {
                    if self.full_since.elapsed() < self.state.options.send_timeout {
                        return self.waiting.push_front(answer);
                    }
                    self.is_deaf = true;
                }
                _ => {
                    self.full_since = Instant::now();
                    self.backoff = backoff();
                }
            }
            self.waiting_bytes -= answer.bytes.len();
            answer.is_settled = true;
            self.settle(sent, answer.bytes.len(), answer.fds.len());
        }
    }

    /// One attempt.
    fn send(&mut self, bytes: &[u8], fds: &[OwnedFd]) -> Result<(), DatagramFailure> {
        let state = &self.state;
        let Some(client) = &self.sender.address else {
            return Err(DatagramFailure::Gone);
        };
        let (listening, share) = (state.listening.as_fd(), &mut self.share);
        let answer = (bytes.len(), fds.len());
        let room = &state.room;
        if !room.allows(share, answer, listening, client, || state.now()) {
            return Err(DatagramFailure::Full);
        }
        send(listening, Some(client), None, bytes, fds)?;
        room.sent(share, answer, state.now());
        Ok(())
    }

    /// Counts an answer that was sent, or was not.
    fn settle(&mut self, sent: Result<(), DatagramFailure>, bytes: usize, fds: usize) {
        match sent {
            Ok(()) => {
                self.is_deaf = false;
                self.state.to_client.counters.sent(bytes, fds);
            }
            Err(DatagramFailure::Full) => self.lost(Loss::Full, fds, ""),
            Err(DatagramFailure::Gone) => self.lost(Loss::Gone, fds, ""),
            Err(DatagramFailure::Lost(loss, text)) => self.lost(loss, fds, &text),
        }
    }

    /// Returns `false` where receiving has failed for good.
    async fn go_on(&mut self, came: Result<(), RecvError>) -> bool {
        match came {
            Ok(()) => tokio::task::yield_now().await,
            Err(RecvError::StillClosing) => tokio::time::sleep(PAUSE).await,
            Err(RecvError::TooLong { size, .. }) => {
                self.lost(Loss::TooLong, 0, &format!("{size} bytes"));
            }
            Err(RecvError::Io(error)) => match Errno::from_io_error(&error) {
                // The target has connected to somebody else, and what it had sent is gone.
                Some(Errno::CONNRESET) => self.lost(Loss::Reset, 0, ""),
                // Reading was shut down, and all was read.
                _ if error.kind() == ErrorKind::UnexpectedEof => return false,
                _ => {
                    self.lost(Loss::Failed, 0, &error.to_string());
                    return false;
                }
            },
            Err(_) => self.lost(Loss::FdsLost, 0, ""),
        }
        true
    }

    fn lost(&self, loss: Loss, fds: usize, detail: &str) {
        let source = DatagramSource {
            peer: None,
            address: self.sender.address.as_ref(),
        };
        let direction = &self.state.to_client;
        self.state.lost(direction, loss, fds, source, detail);
    }
}

impl Drop for WaitingAnswer {
    fn drop(&mut self) {
        let fds = self.fds.len();
        self.state.waits_no_more(self.bytes.len(), fds);
        if !self.is_settled {
            // The task was aborted.
            let lost = Loss::Aborted.kind();
            self.state.to_client.counters.lost(lost, fds);
        }
        close_in_background(self.fds.drain(..));
    }
}

fn after(left: Duration) -> Instant {
    let now = Instant::now();
    // As tokio does: so far away that it never comes.
    now.checked_add(left)
        .unwrap_or_else(|| now + Duration::from_secs(86400 * 365 * 30))
}
