//! How much of an answer has come, and whether it is the one expected.

use crate::args::FramingName;
use crate::escape;
use crate::output::http::{HttpProblem, HttpResponseReader};

/// Bytes of a wrong answer that are shown, and how many of these are its last.
pub(super) const SHOWN: usize = 40;
const SHOWN_LAST: usize = 8;
/// Bytes of a length prefix.
const LENGTH: usize = size_of::<u32>();

/// Where an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    Record,
    Newline,
    Read,
    Length,
}

/// How much of an answer has come.
#[derive(Default)]
pub(super) struct AnswerProgress {
    pub(super) count: usize,
    /// The length prefix, as far as it has come.
    length: u32,
    response: HttpResponseReader,
    /// The status of an answer that is complete, where it is not 2xx.
    pub(super) error: Option<u16>,
}

impl AnswerProgress {
    pub(super) fn is_nothing(&self) -> bool {
        self.count == 0
    }

    /// Reads a response of HTTP.
    pub(super) fn take_response(
        &mut self,
        mut bytes: &[u8],
        is_head: bool,
    ) -> Result<bool, WrongAnswer> {
        self.count += bytes.len();
        let status = self.response.take(&mut bytes, is_head);
        let status = status.map_err(WrongAnswer::NotHttp)?;
        if status.is_some() && !bytes.is_empty() {
            return Err(WrongAnswer::Longer);
        }
        Ok(self.completes(status))
    }

    /// Whether EOF completes a response of HTTP.
    pub(super) fn end_response(&mut self) -> bool {
        let status = self.response.end();
        self.completes(status)
    }

    fn completes(&mut self, status: Option<u16>) -> bool {
        self.error = status.filter(|status| !(200..300).contains(status));
        status.is_some()
    }
}

/// An answer that is not the one expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WrongAnswer {
    Differs {
        expected: String,
        found: String,
    },
    /// It goes on after its end.
    Longer,
    NotHttp(HttpProblem),
}

impl AnswerEnd {
    pub(super) fn of(framing: FramingName) -> Self {
        match framing {
            FramingName::Line => Self::Newline,
            FramingName::Raw => Self::Read,
            FramingName::Length => Self::Length,
        }
    }

    pub(super) fn header(self) -> usize {
        match self {
            Self::Length => LENGTH,
            _ => 0,
        }
    }

    pub(super) fn frame(self, payload: Vec<u8>) -> Vec<u8> {
        match (self, u32::try_from(payload.len())) {
            (Self::Length, Ok(length)) => [&length.to_be_bytes()[..], &payload].concat(),
            _ => payload,
        }
    }
}

/// Checks against a known answer. `end` is `None` for an echo, after which nothing may follow.
pub(super) fn equals(
    expected: &[u8],
    end: Option<AnswerEnd>,
    came: &mut AnswerProgress,
    bytes: &[u8],
) -> Result<bool, WrongAnswer> {
    let is_lax = !matches!(end, None | Some(AnswerEnd::Length));
    // The newline of the answer before, which came late.
    let bytes = match bytes {
        [b'\n', rest @ ..] if is_lax && came.is_nothing() && expected[0] != b'\n' => rest,
        bytes => bytes,
    };
    let rest = &expected[came.count..];
    let count = rest.len().min(bytes.len());
    let (now, more) = bytes.split_at(count);
    let more_is_fine = more.is_empty() || (is_lax && more == b"\n");
    if now != &rest[..count] || !more_is_fine {
        let newline: &[u8] = match end {
            Some(AnswerEnd::Newline) => b"\n",
            _ => b"",
        };
        return Err(WrongAnswer::new(&[rest, newline].concat(), bytes));
    }
    came.count += count;
    Ok(came.count == expected.len())
}

/// Checks against the beginning of an answer.
pub(super) fn begins(
    prefix: &[u8],
    end: AnswerEnd,
    came: &mut AnswerProgress,
    bytes: &[u8],
) -> Result<bool, WrongAnswer> {
    let header = end.header();
    let (front, payload) = bytes.split_at(header.saturating_sub(came.count).min(bytes.len()));
    came.length = front
        .iter()
        .fold(came.length, |length, byte| length << 8 | u32::from(*byte));
    came.count += front.len();
    if came.count < header {
        return Ok(false);
    }
    let before = came.count - header;
    let rest = &prefix[before.min(prefix.len())..];
    let compared = rest.len().min(payload.len());
    let is_short = (end == AnswerEnd::Record && compared < rest.len())
        || (end == AnswerEnd::Length && (came.length as usize) < prefix.len());
    if payload[..compared] != rest[..compared] || is_short {
        return Err(WrongAnswer::new(rest, payload));
    }
    came.count += payload.len();
    let has_prefix = compared == rest.len();
    match end {
        AnswerEnd::Record => Ok(true),
        AnswerEnd::Read => Ok(has_prefix),
        AnswerEnd::Length => match (came.count - header).cmp(&(came.length as usize)) {
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Equal => Ok(true),
            std::cmp::Ordering::Greater => Err(WrongAnswer::Longer),
        },
        AnswerEnd::Newline if prefix.ends_with(b"\n") && has_prefix => {
            if compared == payload.len() {
                Ok(true)
            } else {
                Err(WrongAnswer::Longer)
            }
        }
        AnswerEnd::Newline => match payload[compared..].iter().position(|byte| *byte == b'\n') {
            Some(at) if compared + at + 1 < payload.len() => Err(WrongAnswer::Longer),
            found => Ok(found.is_some()),
        },
    }
}

impl WrongAnswer {
    /// Shows both from a little before the first difference on.
    pub(super) fn new(expected: &[u8], found: &[u8]) -> Self {
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b);
        let start = same.count().saturating_sub(8);
        let shown = |bytes: &[u8]| {
            let rest = &bytes[start.min(bytes.len())..];
            let before = if start > 0 { "…" } else { "" };
            if rest.len() <= SHOWN {
                return format!("\"{before}{}\"", escape::bytes(rest));
            }
            let (first, last) = (
                &rest[..SHOWN - SHOWN_LAST],
                &rest[rest.len() - SHOWN_LAST..],
            );
            format!(
                "\"{before}{}…{}\"",
                escape::bytes(first),
                escape::bytes(last)
            )
        };
        Self::Differs {
            expected: shown(expected),
            found: shown(found),
        }
    }
}
