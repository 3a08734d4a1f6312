//! [`ServerScript`]: what the recorded server does next for one client. It does no I/O but to read the
//! recording.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sockeye::Kind;
use sockeye::capture::{RecordedLocation, RecordedPart};
use sockeye::relay::ObservedDirection;
use tokio::time::Instant;

use super::candidates::{Candidates, Choice, ClientBytes, client_len, record_of};
use crate::args::Speed;
use crate::cmd::replay::recorded_bytes::common_prefix;
use crate::output::replay::{Difference, DifferingSide, SHOWN};

/// How long a client may pause in the middle of what the chosen connection has, before another one that
/// has an answer to what came is chosen.
const QUIET: Duration = Duration::from_millis(50);

pub(super) struct ServerScript {
    candidates: Arc<Candidates>,
    speed: Speed,
    kind: Kind,
    choice: Option<Choice>,
    /// How much the client has sent, as [`RecordedBytes`](crate::cmd::replay::recorded_bytes::RecordedBytes)
    /// counts.
    matched: u64,
    /// How many records.
    records: u64,
    has_ended: bool,
    /// Whether something came since the last answer.
    is_unanswered: bool,
    /// Whether another choice is looked for when the client pauses.
    looks_further: bool,
    /// When something was sent or came.
    last: Instant,
}

/// What comes next.
pub(super) enum ServerStep {
    /// Send these bytes, or this record, and call [`ServerScript::sent`].
    Send(RecordedLocation),
    /// Half-close, and call [`ServerScript::sent`].
    HalfClose,
    /// Wait until the next answer is due.
    Later(Instant),
    /// Wait for input; when none has come until then, call [`ServerScript::look_further`].
    Wait(Option<Instant>),
    /// Close.
    End,
}

/// The client does what no recorded one has done.
#[derive(Debug)]
pub(super) struct Unmatched {
    /// The number of the closest connection, and the difference to it.
    pub(super) closest: Option<(usize, Difference)>,
}

impl ServerScript {
    pub(super) fn new(candidates: &Arc<Candidates>, speed: Speed, kind: Kind) -> Self {
        Self {
            candidates: Arc::clone(candidates),
            speed,
            kind,
            choice: None,
            matched: 0,
            records: 0,
            has_ended: false,
            is_unanswered: false,
            looks_further: false,
            last: Instant::now(),
        }
    }

    /// Whether the client waits for an answer, as far as is known.
    pub(super) fn is_unanswered(&self) -> bool {
        self.is_unanswered
    }

    /// What the server does now.
    pub(super) fn step(&mut self) -> io::Result<Result<ServerStep, Unmatched>> {
        if self.choice.is_none() {
            self.choice = self.find(&[], |_| Ok(true))?;
        }
        loop {
            let Some(choice) = &mut self.choice else {
                return Ok(Ok(ServerStep::End));
            };
            let events = self.candidates.events(choice.candidate);
            let Some(event) = events.get(choice.next).copied() else {
                let has_end = events.iter().any(|event| {
                    event.direction == ObservedDirection::ToClient
                        && matches!(event.what, RecordedPart::End | RecordedPart::Reset)
                });
                // Of datagrams nothing tells that no more come; what does begins again.
                let ends = self.kind == Kind::Datagram || has_end && !choice.requires_end;
                if self.has_ended || ends && self.matched >= choice.required {
                    self.use_choice();
                    return Ok(Ok(ServerStep::End));
                }
                return Ok(Ok(ServerStep::Wait(None)));
            };
            if event.direction == ObservedDirection::ToTarget {
                choice.required += client_len(&event);
                // Senders of datagrams have no EOF.
                choice.requires_end |= self.kind != Kind::Datagram
                    && matches!(event.what, RecordedPart::End | RecordedPart::Reset);
                choice.next += 1;
                continue;
            }
            let is_due =
                self.matched >= choice.required && (self.has_ended || !choice.requires_end);
            if !is_due {
                return self.wait();
            }
            if self.takes_unused()? {
                continue;
            }
            if let Some(due) = self.not_yet() {
                return Ok(Ok(ServerStep::Later(due)));
            }
            self.use_choice();
            match event.what {
                RecordedPart::Bytes(location) | RecordedPart::Record(location) => {
                    return Ok(Ok(ServerStep::Send(location)));
                }
                RecordedPart::End => return Ok(Ok(ServerStep::HalfClose)),
                RecordedPart::Reset => return Ok(Ok(ServerStep::End)),
                _ => self.sent(),
            }
        }
    }

    /// The last step is done.
    pub(super) fn sent(&mut self) {
        if let Some(choice) = &mut self.choice {
            choice.next += 1;
        }
        self.is_unanswered = false;
        self.last = Instant::now();
    }

    /// Takes what has come: bytes of a stream, or a record in its frame.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<Result<(), Unmatched>> {
        self.last = Instant::now();
        let equal = match &mut self.choice {
            Some(choice) => choice.ahead.consume_equal(bytes)?,
            None => 0,
        };
        if equal < bytes.len() || self.choice.is_none() {
            match self.find(bytes, |_| Ok(true))? {
                Some(found) => self.choice = Some(found),
                None => return self.unmatched(bytes).map(Err),
            }
        }
        self.matched += bytes.len() as u64;
        self.records += 1;
        self.is_unanswered = true;
        self.looks_further = true;
        Ok(Ok(()))
    }

    /// EOF has come.
    pub(super) fn take_end(&mut self) -> io::Result<()> {
        self.has_ended = true;
        self.last = Instant::now();
        let is_whole = match &mut self.choice {
            Some(choice) => choice.ahead.piece()?.is_empty(),
            None => false,
        };
        if !is_whole {
            // One whose client has ended here too is closer.
            let found = self.find(&[], |choice| Ok(choice.ahead.piece()?.is_empty()))?;
            if found.is_some() {
                self.choice = found;
            }
        }
        Ok(())
    }

    /// The client pauses: looks for a connection that has an answer to what came.
    pub(super) fn look_further(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.looks_further) {
            return Ok(());
        }
        let candidates = Arc::clone(&self.candidates);
        let found = self.find(&[], |choice| {
            let next = candidates.events(choice.candidate).get(choice.next);
            Ok(next.is_some_and(|event| event.direction == ObservedDirection::ToClient))
        })?;
        if found.is_some() {
            self.choice = found;
        }
        Ok(())
    }

    /// Waits for what the client of the choice has sent next.
    fn wait(&mut self) -> io::Result<Result<ServerStep, Unmatched>> {
        if self.has_ended {
            return if self.is_unanswered {
                self.unmatched(&[]).map(Err)
            } else {
                Ok(Ok(ServerStep::End))
            };
        }
        let until = (self.is_unanswered && self.looks_further).then(|| self.last + QUIET);
        Ok(Ok(ServerStep::Wait(until)))
    }

    /// Changes the choice, if another client has got it meanwhile and there is one that nobody has.
    fn takes_unused(&mut self) -> io::Result<bool> {
        let Some(choice) = &self.choice else {
            return Ok(false);
        };
        if choice.is_used || !self.candidates.is_used(choice.candidate) {
            return Ok(false);
        }
        let candidates = Arc::clone(&self.candidates);
        let found = self.find(&[], |other| Ok(!candidates.is_used(other.candidate)))?;
        Ok(match found {
            Some(unused) => {
                self.choice = Some(unused);
                true
            }
            None => false,
        })
    }

    fn use_choice(&mut self) {
        if let Some(choice) = &mut self.choice {
            choice.is_used = true;
            self.candidates.set_used(choice.candidate);
        }
    }

    /// When the next event is due, if that is in the future: as long after the last one as in the
    /// recording.
    fn not_yet(&self) -> Option<Instant> {
        let choice = self.choice.as_ref()?;
        let events = self.candidates.events(choice.candidate);
        let before = events.get(choice.next.checked_sub(1)?)?.time;
        let pause = events.get(choice.next)?.time.saturating_sub(before);
        let due = self.last.checked_add(self.speed.shorten(pause)?)?;
        Some(due).filter(|due| *due > Instant::now())
    }

    fn sent_bytes<'a>(&self, since: &'a [u8]) -> ClientBytes<'a> {
        let choice = self.choice.as_ref().filter(|_| self.matched > 0);
        ClientBytes {
            beginning: choice.map(|choice| (choice.candidate, self.matched)),
            since,
        }
    }

    fn find(
        &self,
        since: &[u8],
        fits: impl FnMut(&mut Choice) -> io::Result<bool>,
    ) -> io::Result<Option<Choice>> {
        self.candidates
            .find(&self.sent_bytes(since), self.has_ended, fits)
    }

    /// The difference to the closest connection.
    fn unmatched(&self, bytes: &[u8]) -> io::Result<Unmatched> {
        let sent = self.sent_bytes(bytes);
        let Some((candidate, equal)) = self.candidates.closest(&sent, self.kind != Kind::Stream)?
        else {
            return Ok(Unmatched { closest: None });
        };
        let mut client = self.candidates.client(candidate);
        let side = |bytes: &[u8]| match bytes {
            [] => DifferingSide::End,
            _ => DifferingSide::Bytes(bytes[..bytes.len().min(SHOWN)].to_vec()),
        };
        let difference = if self.kind != Kind::Stream {
            client.skip(self.matched)?;
            let expected = record_of(client.piece()?).to_vec();
            let found = record_of(bytes);
            let equal = common_prefix(&expected, found);
            Difference {
                position: equal as u64,
                record: Some(self.records),
                before: found[equal.saturating_sub(SHOWN)..equal].to_vec(),
                expected: side(&expected[equal..]),
                found: side(&found[equal..]),
            }
        } else {
            let position = self.matched + equal as u64;
            let begin = position.saturating_sub(SHOWN as u64);
            client.skip(begin)?;
            let before = client.peek((position - begin) as usize)?;
            client.skip(position - begin)?;
            Difference {
                position,
                record: None,
                before,
                expected: side(&client.peek(SHOWN)?),
                found: side(&bytes[equal..]),
            }
        };
        let number = self.candidates.number(candidate);
        Ok(Unmatched {
            closest: Some((number, difference)),
        })
    }
}
