//! Messages without a connection.

use std::cell::Cell;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::SocketAddrUnix;
use sockeye::ancillary::{self, RecvError, SendError};
use sockeye::server::{Report, ServerError};
use sockeye::{Datagram, Peer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::allowed::Allowed;
use super::handler::Handler;
use super::programs::{self, Programs};
use super::records::told;
use crate::output::message::{Received, Sender};

/// How many answers may wait for room in their receivers' queues.
const WAITING_ANSWERS: usize = 256;
/// How many programs may run at a time where nothing else was asked for.
const PROGRAMS: usize = 64;
const NO_ADDRESS: &str = "has no address and cannot be answered; it must bind its socket";

pub(super) struct Server {
    pub(super) handler: Arc<Handler>,
    /// Answer in its place.
    pub(super) programs: Option<Arc<Programs>>,
    /// How many programs may run at a time.
    pub(super) most: Option<usize>,
    pub(super) allowed: Option<Allowed>,
    pub(super) drain: Duration,
    pub(super) cut_off: CancellationToken,
}

impl Server {
    /// Receives and answers until the handler's token is cancelled, then drains: newcomers are kept
    /// out, and what waits in the queue is still answered.
    ///
    /// # Errors
    /// Where receiving has become impossible.
    pub(super) async fn run(self, mut socket: Datagram) -> Result<Report, ServerError> {
        let counted = Cell::new(Report::default());
        if let Err(source) = ancillary::pass_credentials(&socket, true) {
            let report = counted.get();
            return Err(ServerError { source, report });
        }
        socket.set_send_timeout(self.drain.max(Duration::from_secs(1)));
        let socket = Arc::new(socket);
        let stop = self.handler.stop.clone();
        let mut work = pin!(self.work(&socket, &counted));
        let ended = |result: io::Result<()>| match (result, counted.get()) {
            (Ok(()), report) => Ok(report),
            (Err(source), report) => Err(ServerError { source, report }),
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            failed = &mut work => return ended(failed),
        }
        if let Err(error) = socket.refuse_newcomers() {
            warn!(
                "cannot remove the socket file: {error}; remove it, or let the next server replace it"
            );
        }
        let time_is_over = tokio::time::timeout(self.drain, self.cut_off.cancelled());
        tokio::select! {
            done = &mut work => ended(done),
            _ = time_is_over => {
                count(&counted, |report| report.aborted += 1);
                if self.programs.is_some() {
                    // They hear of it too.
                    self.cut_off.cancel();
                    let _ = tokio::time::timeout(programs::END, work).await;
                }
                Ok(counted.get())
            }
        }
    }

    async fn work(&self, socket: &Arc<Datagram>, counted: &Cell<Report>) -> io::Result<()> {
        let mut buffer = vec![0; self.handler.max_message];
        let mut answers = JoinSet::new();
        let programs = Arc::new(Semaphore::new(self.most.unwrap_or(PROGRAMS)));
        let stop = &self.handler.stop;
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => match self.waiting(socket, &mut buffer) {
                    Some(received) => received,
                    None => break,
                },
                received = socket.recv_with(&mut buffer) => received,
            };
            while answers.try_join_next().is_some() {}
            let received = match received {
                Ok(received) => received,
                Err(error) => match told(&error) {
                    Some(text) => {
                        count(counted, |report| report.refused += 1);
                        self.handler
                            .complain(|| None, &format!("{text}; it is refused"));
                        continue;
                    }
                    None => return Err(error.into()),
                },
            };
            let peer = received.credentials;
            if let Some(allowed) = &self.allowed
                && !peer.is_some_and(|peer| allowed.admits(&peer, &[]))
            {
                count(counted, |report| report.refused += 1);
                self.handler
                    .complain(|| peer, "may not call here; its datagram is refused");
                continue;
            }
            count(counted, |report| match stop.is_cancelled() {
                true => report.drained += 1,
                false => report.served += 1,
            });
            let payload = &buffer[..received.bytes];
            if let Some(program) = &self.programs {
                let permit = Arc::clone(&programs).acquire_owned().await;
                let caller = (received.sender, peer);
                let answer = self.answer_by(program, socket, payload, caller);
                answers.spawn(async move {
                    // The semaphore is never closed.
                    let _permit = permit;
                    answer.await;
                });
                continue;
            }
            let shown = Received {
                payload,
                size: received.bytes,
                descriptors: &received.descriptors,
            };
            self.handler.show(&shown, &Sender::new(peer)).await;
            if let Some(answer) = self.handler.answer_to(payload) {
                self.answer(socket, answer, received.sender, peer, &mut answers)
                    .await;
            }
        }
        while answers.join_next().await.is_some() {}
        Ok(())
    }

    /// What is in the queue when a drain has begun. That of an adopted socket is left to its other
    /// owners.
    fn waiting(
        &self,
        socket: &Datagram,
        buffer: &mut [u8],
    ) -> Option<Result<ancillary::Received, RecvError>> {
        match socket.is_adopted() {
            true => None,
            false => socket.recv_waiting(buffer).transpose(),
        }
    }

    /// Has a program answer.
    fn answer_by(
        &self,
        program: &Arc<Programs>,
        socket: &Arc<Datagram>,
        payload: &[u8],
        (from, peer): (Option<SocketAddrUnix>, Option<Peer>),
    ) -> impl Future<Output = ()> + use<> {
        let (program, socket) = (Arc::clone(program), Arc::clone(socket));
        let (handler, cut_off) = (Arc::clone(&self.handler), self.cut_off.clone());
        let input = in_memory(payload);
        async move {
            let input = match input {
                Ok(input) => input,
                Err(error) => {
                    let text = format!("sent a datagram that is lost: {error}");
                    return handler.complain(|| peer, &text);
                }
            };
            let limit = handler.max_message;
            let answer = program.answer(&input, from.as_ref(), peer, limit, &cut_off);
            let Some(answer) = answer.await.filter(|answer| !answer.is_empty()) else {
                return;
            };
            match from {
                Some(to) => tell(&handler, socket.send_to_with(&answer, &[], &to).await, peer),
                None => handler.complain(|| peer, NO_ADDRESS),
            }
        }
    }

    /// Answers at once if there is room, otherwise in a task of its own.
    async fn answer(
        &self,
        socket: &Arc<Datagram>,
        answer: &[u8],
        to: Option<SocketAddrUnix>,
        peer: Option<Peer>,
        waiting: &mut JoinSet<()>,
    ) {
        let Some(to) = to else {
            return self.handler.complain(|| peer, NO_ADDRESS);
        };
        let first = {
            let mut sent = pin!(socket.send_to_with(answer, &[], &to));
            poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx))).await
        };
        match first {
            Poll::Ready(sent) => tell(&self.handler, sent, peer),
            Poll::Pending if waiting.len() < WAITING_ANSWERS => {
                let (socket, answer) = (Arc::clone(socket), answer.to_vec());
                let handler = Arc::clone(&self.handler);
                waiting.spawn(async move {
                    tell(&handler, socket.send_to_with(&answer, &[], &to).await, peer);
                });
            }
            Poll::Pending => self.handler.complain(
                || peer,
                "does not take its answers, and too many wait; this one is dropped",
            ),
        }
    }
}

/// A file of its own, to be read from the beginning.
fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("datagram", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

fn count(counted: &Cell<Report>, change: impl FnOnce(&mut Report)) {
    let mut report = counted.get();
    change(&mut report);
    counted.set(report);
}

fn tell(handler: &Handler, sent: Result<(), SendError>, peer: Option<Peer>) {
    match sent {
        Ok(()) => {}
        Err(SendError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
            handler.complain(|| peer, "did not take its answer in time; it is dropped");
        }
        Err(error) => {
            let sender = Sender::new(peer);
            debug!("{} could not be answered: {error}", sender.describe());
        }
    }
}
