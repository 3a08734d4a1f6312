//! Senders of datagrams, each of which is a client.

use std::collections::HashMap;
use std::io;

use rustix::net::SocketAddrUnix;
use sockeye::ancillary::{self, Received, RecvError, close_in_background};
use sockeye::peer::AllowedPeers;
use sockeye::server::{Report, ServerError};
use sockeye::{Datagram, Peer};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::StandIn;
use super::server_script::{ServerScript, ServerStep, Unmatched};
use super::streams::until_time;
use crate::args::ListenOptions;
use crate::cmd::listening::allowed::{allowed_peers, refusal};
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::replay::recorded_bytes::framed;
use crate::cmd::send_buffer::make_room;
use crate::output::message::MessageSender;

/// How many senders are known at a time; the one that was silent for longest is forgotten.
const MOST_SENDERS: usize = 1024;

/// Serves until the lifecycle stops it, then answers what is queued.
pub(super) async fn serve(
    stand_in: &StandIn,
    socket: Datagram,
    options: &ListenOptions,
    lifecycle: &Lifecycle,
) -> Result<Report, ServerError> {
    let allowed = allowed_peers(&options.allow_users, &options.allow_groups);
    let asked = ancillary::pass_credentials(&socket, true);
    if allowed.as_ref().is_some_and(AllowedPeers::has_groups) {
        // Before Linux 6.5 only the first group of a sender is known.
        let _ = ancillary::pass_pidfds(&socket, true);
    }
    make_room(&socket, stand_in.longest_answer);
    let mut senders = Senders {
        stand_in,
        socket,
        allowed,
        most: options.max_connections.unwrap_or(MOST_SENDERS),
        known: HashMap::new(),
        report: Report::default(),
    };
    let result = match asked {
        Ok(()) => senders.run(lifecycle).await,
        Err(error) => Err(error),
    };
    let report = senders.report;
    result
        .map(|()| report)
        .map_err(|source| ServerError::Accept { source, report })
}

struct Senders<'a> {
    stand_in: &'a StandIn,
    socket: Datagram,
    allowed: Option<AllowedPeers>,
    most: usize,
    /// Those without an address are one.
    known: HashMap<Option<SocketAddrUnix>, KnownSender>,
    report: Report,
}

struct KnownSender {
    script: ServerScript,
    peer: Option<Peer>,
    /// When to look at it again.
    until: Option<Instant>,
    /// Whether it is waited for, and not a time of the recording.
    waits: bool,
    last: Instant,
}

impl Senders<'_> {
    async fn run(&mut self, lifecycle: &Lifecycle) -> io::Result<()> {
        let mut buffer = self.stand_in.buffer();
        loop {
            let until = self.known.values().filter_map(|sender| sender.until).min();
            tokio::select! {
                biased;
                () = lifecycle.stop.cancelled() => break,
                received = self.socket.recv_msg(&mut buffer) => {
                    self.receive(received, &buffer)?;
                }
                () = until_time(until) => self.resume()?,
            }
        }
        if let Err(error) = self.socket.refuse_new_clients() {
            warn!(
                "cannot remove the socket file: {error}; remove it, or let the next server replace it"
            );
        }
        while !self.socket.is_adopted()
            && let Some(received) = self.socket.try_recv(&mut buffer).transpose()
        {
            if matches!(received, Err(RecvError::StillClosing)) {
                break;
            }
            self.receive(received, &buffer)?;
        }
        Ok(())
    }

    fn receive(&mut self, received: Result<Received, RecvError>, buffer: &[u8]) -> io::Result<()> {
        let received = match received {
            Ok(received) => received,
            Err(RecvError::Io(error)) => return Err(error),
            // It is longer than all that were recorded, or passed file descriptors.
            Err(error) => {
                self.report.refused += 1;
                debug!("a datagram was dropped: {error}");
                return Ok(());
            }
        };
        close_in_background(received.descriptors);
        let peer = received.credentials;
        if let Some(allowed) = &self.allowed
            && let Some(why) = refusal(allowed, peer.as_ref(), received.pidfd.as_ref())
        {
            self.report.refused += 1;
            debug!("a datagram was refused: {why}");
            return Ok(());
        }
        self.report.served += 1;
        let address = received.sender;
        let record = framed(&buffer[..received.bytes]);
        if !self.known.contains_key(&address) {
            self.forget_one();
        }
        let known = self.known.remove(&address);
        let goes_on = match known {
            Some(mut sender) => match sender.script.take(&record)? {
                Ok(()) => Some(sender),
                Err(_) => None,
            },
            None => None,
        };
        let sender = match goes_on {
            Some(sender) => sender,
            None => {
                let mut script = self.stand_in.script();
                if let Err(unmatched) = script.take(&record)? {
                    self.stand_in.tell_unmatched(peer, &unmatched);
                    return Ok(());
                }
                KnownSender {
                    script,
                    peer,
                    until: None,
                    waits: false,
                    last: Instant::now(),
                }
            }
        };
        self.go_on(address, sender)
    }

    /// Looks again at those whose time has come.
    fn resume(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let is_due = |sender: &KnownSender| sender.until.is_some_and(|until| until <= now);
        let due = self.known.extract_if(|_, sender| is_due(sender));
        let due: Vec<_> = due.collect();
        for (address, mut sender) in due {
            if sender.waits {
                sender.script.look_further()?;
            }
            self.go_on(address, sender)?;
        }
        Ok(())
    }

    /// Answers a sender as far as answers are due.
    fn go_on(
        &mut self,
        address: Option<SocketAddrUnix>,
        mut sender: KnownSender,
    ) -> io::Result<()> {
        sender.last = Instant::now();
        loop {
            let step = match sender.script.step()? {
                Ok(step) => step,
                Err(Unmatched { .. }) => return Ok(()),
            };
            match step {
                ServerStep::Send(location) => {
                    let record = self.stand_in.candidates.recording().read(&location)?;
                    self.answer(address.as_ref(), &record, sender.peer);
                    sender.script.sent();
                }
                ServerStep::HalfClose => sender.script.sent(),
                ServerStep::Later(due) => {
                    (sender.until, sender.waits) = (Some(due), false);
                    break;
                }
                ServerStep::Wait(quiet) => {
                    (sender.until, sender.waits) = (quiet, true);
                    break;
                }
                ServerStep::End => return Ok(()),
            }
        }
        self.known.insert(address, sender);
        Ok(())
    }

    /// Sends an answer, or drops it where the sender has no room: it is not to keep others waiting.
    fn answer(&mut self, address: Option<&SocketAddrUnix>, record: &[u8], peer: Option<Peer>) {
        let sent = match address {
            Some(address) => self.socket.try_send_msg_to(record, &[], address),
            None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into()),
        };
        if let Err(error) = sent {
            self.report.dropped_replies += 1;
            if self.stand_in.log.pass() {
                let sender = MessageSender::new(peer);
                warn!("an answer to {} was dropped: {error}", sender.describe());
            }
        }
    }

    fn forget_one(&mut self) {
        if self.known.len() < self.most {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, sender)| sender.last);
        if let Some(address) = oldest.map(|(address, _)| address.clone()) {
            self.known.remove(&address);
        }
    }
}
