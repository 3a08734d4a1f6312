//! Which connections of a recording are played, and which are left out.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sockeye::address::quoted;
use sockeye::capture::{RecordedConnection, RecordedEvent, RecordedPart, Recording};
use sockeye::relay::ObservedDirection;
use sockeye::{Address, Kind};
use tracing::warn;

use crate::args::ReplayArgs;
use crate::exit::{Exit, failure};

/// EOF and the end of the connection are this close where the client has closed it.
const ONE_CLOSE: Duration = Duration::from_millis(100);

/// The connections to play, by their numbers.
pub(super) struct Selection {
    pub(super) recording: Arc<Recording>,
    /// In the order in which they began.
    pub(super) numbers: Vec<usize>,
    pub(super) left_out: LeftOut,
}

impl Selection {
    /// Whether all of the file is played: it was not cut, and no connection was left out.
    pub(super) fn is_complete(&self) -> bool {
        self.left_out.is_none() && self.recording.cut().is_none()
    }
}

/// How many connections were left out, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    with_fds: u64,
    with_holes: u64,
    without_beginning: u64,
    of_another_kind: u64,
}

impl LeftOut {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.with_fds, "passed file descriptors"),
            (self.with_holes, "incomplete in the recording"),
            (self.without_beginning, "without the beginning"),
            (self.of_another_kind, "of another kind"),
        ];
        let mut given = reasons.iter().filter(|(count, _)| *count > 0);
        if let Some((count, why)) = given.next() {
            write!(f, "left out: {count} ({why})")?;
        }
        given.try_for_each(|(count, why)| write!(f, ", {count} ({why})"))
    }
}

/// Opens the recording and selects what can be played at the address of this kind.
pub(super) fn select(args: &ReplayArgs, kind: Kind) -> anyhow::Result<Selection> {
    let file = &args.file;
    let recording = Arc::new(Recording::open(file)?);
    let cut = recording.cut();
    let connections = recording.connections();
    let asked = numbers(args, connections.len(), cut)?;
    if let Some(end) = cut {
        let file = quoted(file);
        warn!("{file} was cut behind byte {end}: what follows is part of a block, and is left out");
    }
    let mut left_out = LeftOut::default();
    let mut numbers = Vec::new();
    for number in asked {
        let connection = &connections[number];
        let count = if connection.is_record() != (kind != Kind::Stream) {
            &mut left_out.of_another_kind
        } else if connection.fds() > 0 {
            &mut left_out.with_fds
        } else if connection.has_hole() {
            &mut left_out.with_holes
        } else if !connection.has_begin() {
            &mut left_out.without_beginning
        } else {
            numbers.push(number);
            continue;
        };
        *count += 1;
    }
    if numbers.is_empty() && left_out.of_another_kind > 0 {
        return Err(wrong_kind(file, &args.address, kind));
    }
    numbers.sort_by_key(|&number| connections[number].time());
    Ok(Selection {
        recording,
        numbers,
        left_out,
    })
}

/// The numbers of `--connection`, or all.
fn numbers(args: &ReplayArgs, count: usize, cut: Option<u64>) -> anyhow::Result<Vec<usize>> {
    let file = quoted(&args.file);
    if count == 0 {
        let cut = cut.map_or_else(String::new, |end| {
            format!(" (it was cut behind byte {end})")
        });
        let text = format!("cannot replay {file}: it has no connections{cut}; record some");
        return Err(failure(Exit::Failed, text));
    }
    if let Some(number) = args.connections.iter().find(|&&number| number >= count) {
        let last = count - 1;
        let text = format!(
            "cannot replay connection {number} of {file}: its connections have the numbers 0 to {last}; give one of these"
        );
        return Err(failure(Exit::Usage, text));
    }
    let mut asked = args.connections.clone();
    asked.sort_unstable();
    asked.dedup();
    Ok(if asked.is_empty() {
        (0..count).collect()
    } else {
        asked
    })
}

fn wrong_kind(file: &Path, address: &Address, kind: Kind) -> anyhow::Error {
    let (file, address) = (quoted(file), address.quoted());
    let why = match kind {
        Kind::Stream => {
            "it has records, and the address is that of a stream; write seqpacket: or dgram: in front of the address"
        }
        _ => {
            "it has streams, and the address is for records; write the address without seqpacket: or dgram:"
        }
    };
    let text = format!("cannot replay {file} at {address}: {why}");
    failure(Exit::Usage, text)
}

/// When it ends there, if it does.
pub(super) fn ended(connection: &RecordedConnection) -> Option<Duration> {
    let last = connection.events().last();
    last.filter(|_| connection.has_end())
        .map(|event| event.time)
}

/// Whether the answer has an end in the recording.
pub(super) fn has_answer_end(connection: &RecordedConnection) -> bool {
    connection.events().iter().any(|event| {
        event.direction == ObservedDirection::ToClient
            && matches!(event.what, RecordedPart::End | RecordedPart::Reset)
    })
}

/// The event at which the client has closed, after it had read everything (else a close is a reset), and
/// before the server has ended the answer: that is whole then too. A client that has half-closed, and
/// gone later, may have missed the rest.
pub(super) fn close_of_client(connection: &RecordedConnection) -> Option<usize> {
    let events = connection.events();
    let from_client = |event: &RecordedEvent| event.direction == ObservedDirection::ToTarget;
    let is_end = |event: &RecordedEvent| from_client(event) && event.what == RecordedPart::End;
    let at = events.iter().position(is_end)?;
    let (end, rest) = (events[at], &events[at + 1..]);
    let is_close = |event: &RecordedEvent| {
        event.what == RecordedPart::Reset && event.time.saturating_sub(end.time) < ONE_CLOSE
    };
    let closes = rest.iter().all(from_client) && rest.iter().any(is_close);
    (closes && !has_answer_end(connection)).then_some(at)
}
