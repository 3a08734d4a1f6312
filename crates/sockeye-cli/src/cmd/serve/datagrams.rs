//! [`DatagramServer`]: receives datagrams, answers them, and drains.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sockeye::Datagram;
use sockeye::ancillary::{self, RecvError};
use sockeye::peer::AllowedPeers;
use sockeye::server::{Report, ServerError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::datagram_programs::DatagramPrograms;
use super::datagram_replies::{DatagramReplies, NO_ADDRESS};
use super::handler::Handler;
use super::programs::{self, Programs};
use super::recv_errors::describe_recv_error;
use crate::cmd::listening::allowed::refusal;
use crate::cmd::listening::received_fds::ReceivedFds;
use crate::cmd::send_buffer::make_room;
use crate::output::message::ShownMessage;

/// How often a datagram with fds is tried again while too many are still being closed.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct DatagramServer {
    pub(super) handler: Arc<Handler>,
    /// Programs that answer instead of the handler.
    pub(super) programs: Option<Arc<Programs>>,
    /// How many programs may run at a time, if that was given.
    pub(super) max_programs: Option<usize>,
    pub(super) allowed: Option<AllowedPeers>,
    pub(super) drain_timeout: Duration,
    /// Ends after one datagram.
    pub(super) once: bool,
    pub(super) abort: CancellationToken,
    /// Cancelled when another process has shut an adopted socket down.
    pub(super) ended: CancellationToken,
}

impl DatagramServer {
    /// Receives and answers until the handler's token is cancelled, or another process has shut an
    /// adopted socket down, then drains: new clients are refused, and the queue is still answered.
    ///
    /// # Errors
    /// Receiving has failed for good.
    pub(super) async fn run(self, mut socket: Datagram) -> Result<Report, ServerError> {
        let counted = Cell::new(Report::default());
        // An adopted socket may not have it yet.
        if let Err(source) = ancillary::pass_credentials(&socket, true) {
            let report = counted.get();
            return Err(ServerError::Accept { source, report });
        }
        if self.allowed.as_ref().is_some_and(AllowedPeers::has_groups)
            && let Err(error) = ancillary::pass_pidfds(&socket, true)
        {
            warn!(
                "cannot ask for the senders' processes: {error} (Linux 6.5 has it); only their first groups are known"
            );
        }
        // A reply may be as long as a message.
        make_room(&socket, self.handler.max_message);
        socket.set_send_timeout(self.drain_timeout.max(Duration::from_secs(1)));
        let socket = Arc::new(socket);
        let replies = Arc::new(DatagramReplies::new(&socket, &self.handler));
        let mut datagram_programs = self.programs.as_ref().map(|programs| {
            DatagramPrograms::new(
                programs,
                self.max_programs,
                &replies,
                &self.handler,
                &self.abort,
            )
        });
        let ended = self
            .work_in_time(DatagramLoop {
                server: &self,
                socket: &socket,
                replies: &replies,
                programs: datagram_programs.as_mut(),
                counted: &counted,
            })
            .await;
        // After a drain timeout, an abort or an error nobody receives any more.
        if !matches!(ended, Some(Ok(()))) {
            let left = self.left(&socket);
            if let Some(datagram_programs) = &mut datagram_programs {
                datagram_programs.abort(programs::END).await;
            }
            let aborted = left + replies.waiting();
            count(&counted, |report| report.aborted += aborted);
        } else if self.once {
            let others = self.left(&socket);
            count(&counted, |report| report.refused += others);
        }
        count(&counted, |report| {
            if let Some(datagram_programs) = &mut datagram_programs {
                datagram_programs.add_to(report);
            }
            report.dropped_replies = replies.undelivered();
        });
        let report = counted.get();
        match ended {
            Some(Err(source)) => Err(ServerError::Accept { source, report }),
            Some(Ok(())) | None => Ok(report),
        }
    }

    /// `None` where the drain timed out or was aborted.
    async fn work_in_time(&self, datagrams: DatagramLoop<'_>) -> Option<io::Result<()>> {
        let socket = datagrams.socket;
        let mut work = pin!(datagrams.run());
        tokio::select! {
            biased;
            () = self.handler.stop.cancelled() => {}
            () = self.ended.cancelled() => {}
            failed = &mut work => return Some(failed),
        }
        refuse_new_clients(socket);
        let time_is_over = tokio::time::timeout(self.drain_timeout, self.abort.cancelled());
        tokio::select! {
            done = work => Some(done),
            _ = time_is_over => None,
        }
    }

    /// The next datagram of the queue, in a drain. An adopted socket's queue is left to the other
    /// processes that have the socket.
    fn waiting(
        &self,
        socket: &Datagram,
        buffer: &mut [u8],
    ) -> Option<Result<ancillary::Received, RecvError>> {
        if socket.is_adopted() {
            None
        } else {
            socket.try_recv(buffer).transpose()
        }
    }

    /// How many datagrams are in the queue, which is about to be closed. While too many fds are still
    /// being closed, all that wait count as one.
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

/// The receive loop: each datagram is shown, or given to a program, and answered.
struct DatagramLoop<'a> {
    server: &'a DatagramServer,
    socket: &'a Datagram,
    replies: &'a DatagramReplies,
    programs: Option<&'a mut DatagramPrograms>,
    counted: &'a Cell<Report>,
}

impl DatagramLoop<'_> {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; self.server.handler.max_message];
        while let Some(received) = self.next(&mut buffer).await {
            match received {
                Ok(received) => {
                    let is_served = self.serve(received, &buffer).await;
                    if is_served && self.server.once {
                        break;
                    }
                }
                Err(RecvError::StillClosing) => tokio::time::sleep(PAUSE).await,
                Err(RecvError::Io(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof && self.socket.is_adopted() =>
                {
                    info!(
                        "another process that has the socket has shut it down: no new clients, draining"
                    );
                    self.server.ended.cancel();
                    break;
                }
                Err(error) => self.refuse(error)?,
            }
        }
        if let Some(programs) = self.programs {
            programs.finish().await;
        }
        self.replies.finish().await;
        Ok(())
    }

    /// The next datagram; `None` when the drain has emptied the queue.
    async fn next(&self, buffer: &mut [u8]) -> Option<Result<ancillary::Received, RecvError>> {
        tokio::select! {
            biased;
            () = self.server.handler.stop.cancelled() => self.server.waiting(self.socket, buffer),
            received = self.socket.recv_msg(buffer) => Some(received),
        }
    }

    /// Counts a datagram that was refused or lost, and says why; an error of the socket is returned.
    fn refuse(&self, error: RecvError) -> io::Result<()> {
        let Some(text) = describe_recv_error(&error) else {
            return Err(error.into());
        };
        // What this process had no room for is a loss; a rule that the sender has broken is not.
        let is_lost = matches!(error, RecvError::DescriptorsLost);
        count(self.counted, |report| {
            if is_lost {
                report.aborted += 1;
            } else {
                report.refused += 1;
            }
        });
        let end = if is_lost { "dropped" } else { "refused" };
        let log = &self.server.handler.log;
        log.complain(|| None, &format!("{text}; it is {end}"));
        Ok(())
    }

    /// Whether the datagram was accepted and shown, or given to a program.
    async fn serve(&mut self, received: ancillary::Received, buffer: &[u8]) -> bool {
        let handler = &self.server.handler;
        let descriptors = ReceivedFds(received.descriptors);
        let peer = received.credentials;
        if let Some(allowed) = &self.server.allowed
            && let Some(why) = refusal(allowed, peer.as_ref(), received.pidfd.as_ref())
        {
            count(self.counted, |report| report.refused += 1);
            let text = format!("may not call here: {why}; its datagram is refused");
            handler.log.complain(|| peer, &text);
            return false;
        }
        if self.server.once {
            // The kernel refuses whoever comes from now on; those who wait already are counted.
            refuse_new_clients(self.socket);
        }
        let payload = &buffer[..received.bytes];
        // Aborted, should the drain time out before this function returns.
        count(self.counted, |report| report.aborted += 1);
        if let Some(programs) = &mut self.programs {
            programs.begin(payload, received.sender, peer).await;
            // Counted when its program ends.
            count(self.counted, |report| report.aborted -= 1);
            return true;
        }
        let shown = ShownMessage {
            payload,
            size: received.bytes,
            descriptors: &descriptors.0,
        };
        if handler.output.shows()
            && !handler
                .output
                .show(&shown, &handler.output.sender(peer))
                .await
        {
            return false;
        }
        count(self.counted, |report| {
            report.aborted -= 1;
            if handler.stop.is_cancelled() {
                report.drained += 1;
            } else {
                report.served += 1;
            }
        });
        if let Some(reply) = handler.reply_to(payload) {
            match received.sender {
                Some(sender) => self.replies.send(reply, sender, peer).await,
                None => handler.log.complain(|| peer, NO_ADDRESS),
            }
        }
        true
    }
}

fn refuse_new_clients(socket: &Datagram) {
    if let Err(error) = socket.refuse_new_clients() {
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
