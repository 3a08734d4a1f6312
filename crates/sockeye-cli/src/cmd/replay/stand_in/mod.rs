//! `sockeye replay --serve`: plays the server of a recording, as a stand-in for it.

mod candidates;
mod datagrams;
mod records;
mod server_script;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sockeye::capture::{RecordedConnection, RecordedPart};
use sockeye::relay::ObservedDirection;
use sockeye::server::Report;
use sockeye::{Kind, Peer};
use tracing::{debug, error, info, warn};

use super::recording::select;
use crate::args::{ReplayArgs, Speed};
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::listening::socket::ServedSocket;
use crate::cmd::listening::startup::{self, Startup};
use crate::cmd::listening::{ListeningSide, server};
use crate::exit::{Exit, failure};
use crate::output::message::MessageSender;
use crate::stdio::log::LineQuota;
use candidates::Candidates;
use server_script::{ServerScript, Unmatched};

/// The least room for a record: a longer one than was recorded is to be seen as that.
const LEAST_ROOM: usize = 64 << 10;

/// What all clients share.
pub(super) struct StandIn {
    candidates: Arc<Candidates>,
    speed: Speed,
    kind: Kind,
    /// How long the records of the recorded clients are at most.
    longest_request: usize,
    /// How long those of the server are.
    longest_answer: usize,
    unmatched: AtomicU64,
    log: LineQuota,
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let side = ListeningSide {
        address: &args.address,
        options: &args.listen,
        allows_fd_passing: false,
        reports_credentials: args.address.kind() == Kind::Datagram,
    };
    // Takes inherited fds before anything is opened.
    let startup = Startup::prepare(&side)?;
    let kind = startup.kind(&args.address)?;
    args.check_kind(kind)?;
    let selection = select(args, kind)?;
    if selection.numbers.is_empty() {
        let (file, left_out) = (sockeye::address::quoted(&args.file), selection.left_out);
        let text =
            format!("cannot serve {file}: none of its connections can be played; {left_out}");
        return Err(failure(Exit::Failed, text));
    }
    let candidates = Candidates::new(&selection).map_err(|error| {
        let file = sockeye::address::quoted(&args.file);
        failure(
            Exit::Failed,
            format!("cannot read {file}: {error}; look whether another process writes to it"),
        )
    })?;
    let stand_in = Arc::new(StandIn::new(args, kind, candidates));
    let name = args.address.quoted().to_string();
    startup::can_start(&name, false)?;
    let served = serve(args, &side, kind, startup, &stand_in);
    let Some(report) = startup::runtime(&name, 1)?.block_on(served)? else {
        return Ok(Exit::Done);
    };
    let unmatched = stand_in.unmatched.load(Ordering::Relaxed);
    stand_in.log.tell_rest();
    let mut text = format!("stopped: {report}");
    if unmatched > 0 {
        text.push_str(&format!("; unmatched: {unmatched}"));
    }
    if !selection.left_out.is_none() {
        text.push_str(&format!("; {} of the recording", selection.left_out));
    }
    info!("{text}");
    let lost = report.aborted + report.failed + report.dropped_replies + unmatched;
    Ok(if lost > 0 || !selection.is_complete() {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

/// Serves until a signal, then drains. `None` where a signal comes before that.
async fn serve(
    args: &ReplayArgs,
    side: &ListeningSide<'_>,
    kind: Kind,
    mut startup: Startup,
    stand_in: &Arc<StandIn>,
) -> anyhow::Result<Option<Report>> {
    let mut lifecycle = Lifecycle::new(&args.listen, &args.address.quoted().to_string())?;
    let Some(socket) = startup.open(side, kind, &mut lifecycle).await? else {
        return Ok(None);
    };
    startup.announce(&args.address, &socket, &mut lifecycle);
    lifecycle.watch(&args.listen, &args.address.to_string(), &startup.limit);
    let stop = lifecycle.stop.clone();
    let stopped = stop.cancelled();
    let server = server::server(&args.listen, &lifecycle);
    let ended = match socket {
        ServedSocket::Stream(listener) => {
            let handle = |connection| streams::handle(Arc::clone(stand_in), connection);
            server.run(listener, handle, stopped).await
        }
        ServedSocket::SeqPacket(listener) => {
            let handle = |connection| records::handle(Arc::clone(stand_in), connection);
            server.run(listener, handle, stopped).await
        }
        ServedSocket::Datagram(socket) => {
            datagrams::serve(stand_in, socket, &args.listen, &lifecycle).await
        }
    };
    lifecycle.end();
    match ended {
        Ok(report) => Ok(Some(report)),
        Err(error) => {
            let report = error.report();
            error!("{error}; stopped");
            info!("stopped: {report}");
            Err(failure(
                Exit::Failed,
                format!("cannot go on at {}: {error}", args.address.quoted()),
            ))
        }
    }
}

impl StandIn {
    fn new(args: &ReplayArgs, kind: Kind, candidates: Candidates) -> Self {
        let longest = |direction| {
            let connections = candidates.recording().connections().iter();
            let events = connections.flat_map(RecordedConnection::events);
            let records = events.filter_map(|event| match event.what {
                RecordedPart::Record(location) if event.direction == direction => {
                    Some(location.len())
                }
                _ => None,
            });
            records.max().unwrap_or(0)
        };
        Self {
            speed: args.speed.unwrap_or(Speed::Max),
            kind,
            longest_request: longest(ObservedDirection::ToTarget),
            longest_answer: longest(ObservedDirection::ToClient),
            candidates: Arc::new(candidates),
            unmatched: AtomicU64::new(0),
            log: LineQuota::new(),
        }
    }

    fn script(&self) -> ServerScript {
        ServerScript::new(&self.candidates, self.speed, self.kind)
    }

    /// Room for a record of a client.
    fn buffer(&self) -> Vec<u8> {
        vec![0; self.longest_request.max(LEAST_ROOM) + 1]
    }

    /// Counts a client that does what no recorded one has done, and logs the difference.
    fn tell_unmatched(&self, peer: Option<Peer>, unmatched: &Unmatched) {
        self.unmatched.fetch_add(1, Ordering::Relaxed);
        if !self.log.pass() {
            return;
        }
        let client = MessageSender::new(peer);
        let client = client.describe();
        match &unmatched.closest {
            Some((number, difference)) => {
                let [recorded, sent] = difference.sides();
                let place = difference.place("what it has sent");
                warn!(
                    "{client} has sent what no connection of the recording has: at {place} {sent}, and the closest one, connection {number}, has {recorded}"
                );
            }
            None => warn!("{client} has sent what no connection of the recording has"),
        }
    }

    /// A connection has ended with an error.
    fn tell_error(&self, peer: Option<Peer>, error: &std::io::Error) {
        let client = MessageSender::new(peer);
        debug!("the connection of {} ended: {error}", client.describe());
    }
}

/// Why a connection ends before the recorded one did.
enum StandInError {
    Unmatched(Unmatched),
    Io(std::io::Error),
}

impl From<std::io::Error> for StandInError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Unmatched> for StandInError {
    fn from(unmatched: Unmatched) -> Self {
        Self::Unmatched(unmatched)
    }
}
