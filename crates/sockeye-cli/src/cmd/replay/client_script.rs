//! [`ClientScript`]: what the client of a recorded connection does next. It does no I/O but to read the
//! recording.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sockeye::capture::{RecordedEvent, RecordedLocation, RecordedPart, Recording};
use sockeye::relay::ObservedDirection;
use tokio::time::Instant;

use super::answer::Answer;
use super::mask::Masks;
use super::pace::Pace;
use super::recording::{close_of_client, has_answer_end};
use super::stream_comparison::AnswerState;
use crate::output;
use crate::output::replay::{Difference, DifferingSide};

/// How long nothing must have come where the end of an answer is masked.
const QUIET: Duration = Duration::from_millis(100);

/// How long nothing must have come until as much as was recorded, but other bytes, is a difference:
/// they may be a part of what a mask matches.
const QUIET_DIFFERENCE: Duration = Duration::from_millis(500);

/// How long more than was recorded is looked for, before a client closes that has not waited for EOF.
const QUIET_END: Duration = Duration::from_millis(10);

pub(super) struct ClientScript {
    recording: Arc<Recording>,
    number: usize,
    pace: Pace,
    timeout: Duration,
    answer: Answer,
    /// The event at which the client closes, without an end of the answer.
    closes_at: Option<usize>,
    /// The next event of the recording.
    next: usize,
    /// How much of the answer comes before it: bytes of a stream, or records.
    required: u64,
    /// Whether the answer has an end before it.
    requires_end: bool,
    /// Whether an answer can have one: datagrams cannot.
    has_eof: bool,
    /// `required` and what had come when the client has last done something.
    at_last_request: (u64, u64),
    /// Whether the answer has ended.
    has_ended: bool,
    /// Whether the server has reset the connection.
    was_reset: bool,
    /// Whether it takes nothing more.
    is_closed: bool,
    deadline: Instant,
    last_input: Instant,
}

/// What comes next.
pub(super) enum ClientStep {
    /// Send these bytes, or this record, and call [`ClientScript::sent`].
    Send(RecordedLocation),
    /// Half-close, and call [`ClientScript::sent`].
    HalfClose,
    /// Wait for input, until then.
    Wait(Instant),
    /// Close.
    End(Outcome),
}

/// How a connection was played.
#[derive(Debug)]
pub(super) enum Outcome {
    Played,
    Different(Difference),
    TimedOut(String, Option<Difference>),
    Failed(String),
}

impl ClientScript {
    pub(super) fn new(
        recording: &Arc<Recording>,
        number: usize,
        pace: Pace,
        timeout: Duration,
        masks: Option<&Arc<Masks>>,
        has_eof: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            recording: Arc::clone(recording),
            number,
            pace,
            timeout,
            answer: Answer::new(recording, number, masks),
            closes_at: close_of_client(&recording.connections()[number]),
            next: 0,
            required: 0,
            requires_end: false,
            has_eof,
            at_last_request: (0, 0),
            has_ended: false,
            was_reset: false,
            is_closed: false,
            deadline: now + timeout,
            last_input: now,
        }
    }

    /// What the client does now.
    pub(super) fn step(&mut self) -> io::Result<ClientStep> {
        loop {
            let Some(event) = self.events().get(self.next).copied() else {
                let step = match self.wait_for_answer()? {
                    Some(step) => step,
                    None => ClientStep::End(self.finish()?),
                };
                return Ok(step);
            };
            if event.direction == ObservedDirection::ToClient {
                match event.what {
                    RecordedPart::Bytes(location) => self.required += location.len() as u64,
                    RecordedPart::Record(_) => self.required += 1,
                    RecordedPart::End | RecordedPart::Reset => self.requires_end = self.has_eof,
                    _ => {}
                }
                self.next += 1;
                continue;
            }
            if self.is_closed {
                self.next += 1;
                continue;
            }
            if let Some(step) = self.wait_for_answer()? {
                return Ok(step);
            }
            if let Some(due) = self.pace.not_yet(event.time) {
                // Whatever comes meanwhile is read.
                self.deadline = due + self.timeout;
                return Ok(ClientStep::Wait(due));
            }
            match event.what {
                RecordedPart::Bytes(location) if location.is_empty() => self.next += 1,
                RecordedPart::Bytes(location) | RecordedPart::Record(location) => {
                    return Ok(ClientStep::Send(location));
                }
                RecordedPart::End if self.closes_at == Some(self.next) => {
                    let until = self.last_input + QUIET_END;
                    if self.answer.is_compared() && !self.has_ended && until > Instant::now() {
                        return Ok(ClientStep::Wait(until));
                    }
                    return Ok(ClientStep::End(self.finish()?));
                }
                RecordedPart::End => return Ok(ClientStep::HalfClose),
                RecordedPart::Reset => return Ok(ClientStep::End(Outcome::Played)),
                _ => self.next += 1,
            }
        }
    }

    /// The last step is done.
    pub(super) fn sent(&mut self) {
        self.next += 1;
        self.at_last_request = (self.required, self.answer.received());
        self.progressed();
    }

    /// The server takes something: the timeout begins again.
    pub(super) fn progressed(&mut self) {
        self.deadline = Instant::now() + self.timeout;
    }

    /// The server takes nothing more; what it has sent is still read.
    pub(super) fn closed(&mut self) {
        self.is_closed = true;
    }

    /// Takes what has come: bytes of a stream, or a record.
    pub(super) fn take(&mut self, bytes: &[u8], is_record: bool) -> io::Result<Option<Outcome>> {
        self.last_input = Instant::now();
        // More than was recorded keeps nothing waiting.
        if self.answer.received() < self.required {
            self.progressed();
        }
        let found = self.answer.take(bytes, is_record)?;
        Ok(found.map(Outcome::Different))
    }

    /// EOF has come.
    pub(super) fn take_end(&mut self) -> io::Result<Option<Outcome>> {
        self.has_ended = true;
        Ok(self.answer.finish()?.map(Outcome::Different))
    }

    /// The server has reset the connection; what it had sent before may still come.
    pub(super) fn take_reset(&mut self) {
        self.was_reset = true;
        self.is_closed = true;
    }

    /// The time of the last wait is over: the outcome, if it was the timeout.
    pub(super) fn time_is_over(&mut self, is_sending: bool) -> io::Result<Option<Outcome>> {
        if Instant::now() < self.deadline {
            return Ok(None);
        }
        let time = output::duration(self.timeout);
        let text = if is_sending {
            format!("the server has read nothing for {time}")
        } else if self.answer.received() < self.required {
            let (received, required) = (self.answer.received(), self.required);
            format!(
                "{received} of {required} {} of the answer have come, and then nothing for {time}",
                self.unit()
            )
        } else {
            format!("the answer has no end for {time}")
        };
        if is_sending {
            return Ok(Some(Outcome::TimedOut(text, None)));
        }
        let difference = self.answer.finish()?;
        Ok(Some(match difference {
            Some(found) if found.found != DifferingSide::End => Outcome::Different(found),
            Some(mut found) => {
                found.found = DifferingSide::Nothing(self.timeout);
                Outcome::TimedOut(text, Some(found))
            }
            None => Outcome::TimedOut(text, None),
        }))
    }

    /// Until when sending may wait.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    fn events(&self) -> &[RecordedEvent] {
        self.recording.connections()[self.number].events()
    }

    fn unit(&self) -> &'static str {
        if self.recording.connections()[self.number].is_record() {
            "records"
        } else {
            "bytes"
        }
    }

    /// The wait for the answer before the next event; `None` where it has come.
    fn wait_for_answer(&mut self) -> io::Result<Option<ClientStep>> {
        if self.has_ended {
            return Ok(None);
        }
        let (required, received) = self.at_last_request;
        let has_begun = self.answer.received() > received || self.required == required;
        let until = match self.answer.state(self.required)? {
            _ if self.requires_end || !has_begun => self.deadline,
            AnswerState::Complete => return Ok(None),
            AnswerState::Incomplete => self.deadline,
            AnswerState::Masked => self.last_input + QUIET,
            AnswerState::Different => self.last_input + QUIET_DIFFERENCE,
        };
        if until > Instant::now() || until == self.deadline {
            return Ok(Some(ClientStep::Wait(until.min(self.deadline))));
        }
        // It was quiet for long enough.
        if self.answer.state(self.required)? != AnswerState::Different {
            return Ok(None);
        }
        let found = self.answer.finish()?;
        Ok(found.map(|found| ClientStep::End(Outcome::Different(found))))
    }

    /// The outcome when all is done.
    fn finish(&mut self) -> io::Result<Outcome> {
        if !self.has_ended
            && let Some(found) = self.answer.finish()?
        {
            return Ok(Outcome::Different(found));
        }
        let connection = &self.recording.connections()[self.number];
        let as_recorded = has_answer_end(connection) && self.answer.received() >= self.required;
        Ok(if self.is_closed && !as_recorded {
            let how = if self.was_reset { "reset" } else { "closed" };
            let (received, unit) = (self.answer.received(), self.unit());
            Outcome::Failed(format!(
                "the server has {how} the connection after {received} {unit} of the answer, before it had read all that was recorded"
            ))
        } else {
            Outcome::Played
        })
    }
}
