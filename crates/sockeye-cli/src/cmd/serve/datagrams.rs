//! Messages without a connection.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sockeye::Datagram;
use sockeye::ancillary::{self, RecvError};
use sockeye::server::{Report, ServerError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::allowed::Allowed;
use super::datagram_programs::DatagramPrograms;
use super::datagram_replies::{DatagramReplies, NO_ADDRESS};
use super::handler::Handler;
use super::programs::{self, Programs};
use super::received_fds::ReceivedFds;
use super::recv_errors::describe_recv_error;
use crate::cmd::send_buffer::make_room;
use crate::output::message::ShownMessage;

/// A drain tries so often whether descriptors of the next datagram can be taken.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct DatagramServer {
    pub(super) handler: Arc<Handler>,
    /// Answer in its place.
    pub(super) programs: Option<Arc<Programs>>,
    /// How many programs may run at a time.
    pub(super) max_programs: Option<usize>,
    pub(super) allowed: Option<Allowed>,
    pub(super) drain_timeout: Duration,
    /// One is enough.
    pub(super) once: bool,
    pub(super) abort: CancellationToken,
    /// Cancelled where another owner of an adopted socket has shut it down.
    pub(super) ended: CancellationToken,
}

impl DatagramServer {
    /// Receives and answers until the handler's token is cancelled, or another owner of an adopted
    /// socket has shut it down, then drains: newcomers are kept out, and what waits in the queue is
    /// still answered.
    ///
    /// # Errors
    /// Where receiving has become impossible.
    pub(super) async fn run(self, mut socket: Datagram) -> Result<Report, ServerError> {
        let counted = Cell::new(Report::default());
        // An adopted socket may not have it yet.
        if let Err(source) = ancillary::pass_credentials(&socket, true) {
            let report = counted.get();
            return Err(ServerError::Accept { source, report });
        }
        if self.allowed.as_ref().is_some_and(Allowed::has_groups)
            && let Err(error) = ancillary::pass_pidfds(&socket, true)
        {
            warn!(
                "cannot ask for the senders' processes: {error} (Linux 6.5 has it); only their first groups are known"
            );
        }
        // An answer may be as long as a message.
        make_room(&socket, self.handler.max_message);
        socket.set_send_timeout(self.drain_timeout.max(Duration::from_secs(1)));
        let socket = Arc::new(socket);
        let answers = Arc::new(DatagramReplies::new(&socket, &self.handler));
        let mut datagram_programs = self.programs.as_ref().map(|programs| {
            DatagramPrograms::new(
                programs,
                self.max_programs,
                &answers,
                &self.handler,
                &self.abort,
            )
        });
        let ended = self
            .work_in_time(&socket, &answers, datagram_programs.as_mut(), &counted)
            .await;
        // Nobody receives any more, whether the time is over or that has become impossible.
        if !matches!(ended, Some(Ok(()))) {
            let left = self.left(&socket);
            if let Some(datagram_programs) = &mut datagram_programs {
                datagram_programs.abort(programs::END).await;
            }
            let abort = left + answers.waiting();
            count(&counted, |report| report.aborted += abort);
        } else if self.once {
            let others = self.left(&socket);
            count(&counted, |report| report.refused += others);
        }
        count(&counted, |report| {
            if let Some(datagram_programs) = &mut datagram_programs {
                datagram_programs.add_to(report);
            }
            report.dropped_answers = answers.undelivered();
        });
        let report = counted.get();
        match ended {
            Some(Err(source)) => Err(ServerError::Accept { source, report }),
            Some(Ok(())) | None => Ok(report),
        }
    }

    /// `None` where the drain took too long.
    async fn work_in_time(
        &self,
        socket: &Datagram,
        answers: &DatagramReplies,
        datagram_programs: Option<&mut DatagramPrograms>,
        counted: &Cell<Report>,
    ) -> Option<io::Result<()>> {
        let mut work = pin!(self.work(socket, answers, datagram_programs, counted));
        tokio::select! {
            biased;
            () = self.handler.stop.cancelled() => {}
            () = self.ended.cancelled() => {}
            failed = &mut work => return Some(failed),
        }
        refuse_newcomers(socket);
        let time_is_over = tokio::time::timeout(self.drain_timeout, self.abort.cancelled());
        tokio::select! {
            done = work => Some(done),
            _ = time_is_over => None,
        }
    }

    async fn work(
        &self,
        socket: &Datagram,
        answers: &DatagramReplies,
        mut datagram_programs: Option<&mut DatagramPrograms>,
        counted: &Cell<Report>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; self.handler.max_message];
        let stop = &self.handler.stop;
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => match self.waiting(socket, &mut buffer) {
                    Some(received) => received,
                    None => break,
                },
                received = socket.recv_msg(&mut buffer) => received,
            };
            let received = match received {
                Ok(received) => received,
                Err(RecvError::StillClosing) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(RecvError::Io(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof && socket.is_adopted() =>
                {
                    info!(
                        "another process that has the socket has shut it down: no newcomers, draining"
                    );
                    self.ended.cancel();
                    break;
                }
                Err(error) => match describe_recv_error(&error) {
                    Some(text) => {
                        // Our shortage is a loss, a rule that the sender has broken is not.
                        let is_lost = matches!(error, RecvError::DescriptorsLost);
                        count(counted, |report| match is_lost {
                            true => report.aborted += 1,
                            false => report.refused += 1,
                        });
                        let end = if is_lost { "dropped" } else { "refused" };
                        self.handler
                            .log
                            .complain(|| None, &format!("{text}; it is {end}"));
                        continue;
                    }
                    None => return Err(error.into()),
                },
            };
            let descriptors = ReceivedFds(received.descriptors);
            let peer = received.credentials;
            if let Some(allowed) = &self.allowed
                && let Err(why) = allowed.admits_sender(peer.as_ref(), received.pidfd.as_ref())
            {
                count(counted, |report| report.refused += 1);
                let text = format!("may not call here: {why}; its datagram is refused");
                self.handler.log.complain(|| peer, &text);
                continue;
            }
            if self.once {
                // Whoever comes from now on is told by the kernel; what waits already is counted.
                refuse_newcomers(socket);
            }
            let payload = &buffer[..received.bytes];
            let shown = ShownMessage {
                payload,
                size: received.bytes,
                descriptors: &descriptors.0,
            };
            // If the time is over while it is shown.
            count(counted, |report| report.aborted += 1);
            let is_seen = match &mut datagram_programs {
                Some(datagram_programs) => {
                    datagram_programs
                        .begin(payload, received.sender.clone(), peer)
                        .await;
                    true
                }
                None if self.handler.output.shows() => {
                    self.handler
                        .output
                        .show(&shown, &self.handler.output.sender(peer))
                        .await
                }
                None => true,
            };
            if !is_seen {
                continue;
            }
            count(counted, |report| {
                report.aborted -= 1;
                match stop.is_cancelled() {
                    // Counted when their programs end.
                    _ if datagram_programs.is_some() => {}
                    true => report.drained += 1,
                    false => report.served += 1,
                }
            });
            let answer = self.handler.answer_to(payload);
            if let Some(answer) = answer.filter(|_| datagram_programs.is_none()) {
                match received.sender {
                    Some(sender) => answers.send(answer, sender, peer).await,
                    None => self.handler.log.complain(|| peer, NO_ADDRESS),
                }
            }
            if self.once {
                break;
            }
        }
        if let Some(datagram_programs) = datagram_programs {
            datagram_programs.finish().await;
        }
        answers.finish().await;
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
            false => socket.try_recv(buffer).transpose(),
        }
    }

    /// How many datagrams are in the queue, which is about to be closed. While too many descriptors
    /// are still to be closed, all that wait count as one.
    fn left(&self, socket: &Datagram) -> u64 {
        let mut left = 0;
        while let Some(received @ (Ok(_) | Err(RecvError::TooLong { .. }))) =
            self.waiting(socket, &mut [])
        {
            drop(received.map(|received| ReceivedFds(received.descriptors)));
            left += 1;
        }
        match self.waiting(socket, &mut []) {
            Some(Err(RecvError::StillClosing)) => left + 1,
            _ => left,
        }
    }
}

fn refuse_newcomers(socket: &Datagram) {
    if let Err(error) = socket.refuse_newcomers() {
        warn!(
            "cannot remove the socket file: {error}; remove it, or let the next server replace it"
        );
    }
}

fn count(counted: &Cell<Report>, change: impl FnOnce(&mut Report)) {
    let mut report = counted.get();
    change(&mut report);
    counted.set(report);
}
