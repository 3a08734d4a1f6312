//! [`BenchExchange`]: a request, and the check of its answer.

use super::answer::{AnswerEnd, AnswerProgress, SHOWN, WrongAnswer, begins, equals};
use super::request::{CustomRequest, Expected};
use crate::args::FramingName;
use crate::transport::Transport;

/// The start of an echoed message names its connection, so that an answer meant for another one is
/// noticed.
pub(super) type Name = [u8; 8];

pub(super) fn name(connection: usize) -> Name {
    let digits = format!("{connection:08x}");
    std::array::from_fn(|at| digits.as_bytes()[at])
}

/// Room for an answer whose size is not known.
const ROOM: usize = 64 << 10;
pub(super) struct BenchExchange {
    /// With its framing.
    request: Vec<u8>,
    answer: AnswerCheck,
    end: AnswerEnd,
}

enum AnswerCheck {
    /// The request itself.
    Echo,
    /// These bytes, with the length prefix if there is one.
    Exactly(Vec<u8>),
    /// Something that begins with this.
    Prefix(Vec<u8>),
    /// A response of HTTP.
    Response { is_head: bool },
}

impl BenchExchange {
    /// A message of `size` bytes that is echoed: a line, or a length-prefixed frame.
    pub(super) fn echo(size: usize, framing: FramingName) -> Self {
        let mut request = vec![b'.'; size];
        if let Some(last) = request.last_mut() {
            *last = b'\n';
        }
        let end = AnswerEnd::of(framing);
        Self {
            request: end.frame(request),
            answer: AnswerCheck::Echo,
            end,
        }
    }

    pub(super) fn custom(
        custom: &CustomRequest,
        transport: Transport,
        framing: FramingName,
    ) -> Self {
        let end = if transport.has_records() {
            AnswerEnd::Record
        } else {
            AnswerEnd::of(framing)
        };
        let answer = match &custom.answer {
            Expected::Text(text) => {
                let mut text = text.clone().into_bytes();
                // The answer may end in a newline or not.
                if end != AnswerEnd::Length && text.len() > 1 && text.ends_with(b"\n") {
                    text.pop();
                }
                AnswerCheck::Exactly(end.frame(text))
            }
            Expected::Prefix(text) => AnswerCheck::Prefix(text.clone().into_bytes()),
            Expected::Any => AnswerCheck::Prefix(Vec::new()),
            Expected::Response { is_head } => AnswerCheck::Response { is_head: *is_head },
        };
        let mut request = custom.request.clone();
        if custom.is_line && matches!(end, AnswerEnd::Newline | AnswerEnd::Read) {
            request.push(b'\n');
        }
        Self {
            request: end.frame(request),
            answer,
            end,
        }
    }

    pub(super) fn is_echo(&self) -> bool {
        matches!(self.answer, AnswerCheck::Echo)
    }

    /// Whether an answer may be an error, which is counted.
    pub(super) fn counts_errors(&self) -> bool {
        matches!(self.answer, AnswerCheck::Response { .. })
    }

    /// Bytes of a request, without the length prefix.
    pub(super) fn size(&self) -> usize {
        self.request.len() - self.end.header()
    }

    /// Bytes of a request, with its framing.
    pub(super) fn wire_size(&self) -> usize {
        self.request.len()
    }

    /// Buffer size for an answer, and for some surplus bytes, to show them.
    pub(super) fn room(&self) -> usize {
        match &self.answer {
            AnswerCheck::Echo => self.request.len() + SHOWN,
            AnswerCheck::Exactly(text) => text.len() + SHOWN,
            AnswerCheck::Prefix(text) => text.len() + ROOM,
            AnswerCheck::Response { .. } => ROOM,
        }
    }

    /// The request of this connection.
    pub(super) fn request(&mut self, name: Name) -> &[u8] {
        if let (AnswerCheck::Echo, Some((_, text))) = (
            &self.answer,
            self.request[self.end.header()..].split_last_mut(),
        ) {
            let count = text.len().min(name.len());
            text[..count].copy_from_slice(&name[..count]);
        }
        &self.request
    }

    /// Checks the next bytes of an answer. Returns whether it is complete.
    pub(super) fn check(
        &mut self,
        name: Name,
        came: &mut AnswerProgress,
        bytes: &[u8],
    ) -> Result<bool, WrongAnswer> {
        match &self.answer {
            AnswerCheck::Echo => {
                self.request(name);
                equals(&self.request, None, came, bytes)
            }
            AnswerCheck::Exactly(text) => equals(text, Some(self.end), came, bytes),
            AnswerCheck::Prefix(prefix) => begins(prefix, self.end, came, bytes),
            AnswerCheck::Response { is_head } => came.take_response(bytes, *is_head),
        }
    }

    /// Whether EOF completes the answer.
    pub(super) fn ends_with_input(&self, came: &mut AnswerProgress) -> bool {
        match &self.answer {
            AnswerCheck::Prefix(prefix) => {
                self.end == AnswerEnd::Newline && came.count >= prefix.len().max(1)
            }
            AnswerCheck::Response { .. } => came.end_response(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: Expected, framing: FramingName) -> BenchExchange {
        let custom = CustomRequest {
            request: b"status".to_vec(),
            is_line: true,
            answer,
        };
        BenchExchange::custom(&custom, Transport::Unix, framing)
    }

    /// How the pieces of an answer are taken, from the first on.
    fn taken(exchange: &mut BenchExchange, pieces: &[&[u8]]) -> Result<bool, WrongAnswer> {
        let mut came = AnswerProgress::default();
        let mut is_all = false;
        for piece in pieces {
            assert!(!is_all, "nothing follows an answer");
            is_all = exchange.check(name(1), &mut came, piece)?;
        }
        Ok(is_all)
    }

    #[test]
    fn an_echo_is_a_line_that_names_its_connection() {
        let echo = |size| BenchExchange::echo(size, FramingName::Line);
        assert_eq!(echo(16).request(name(255)), b"000000ff.......\n");
        assert_eq!(echo(1).request(name(1)), b"\n");
        assert_eq!(echo(3).request(name(1)), b"00\n");
        let mut framed = BenchExchange::echo(4, FramingName::Length);
        assert_eq!(framed.request(name(1)), b"\0\0\0\x04000\n");
        assert_eq!((framed.size(), framed.wire_size()), (4, 8));
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let mut exchange = BenchExchange::echo(16, FramingName::Line);
        let line = exchange.request(name(1)).to_vec();
        assert_eq!(taken(&mut exchange, &[&line[..10]]), Ok(false));
        assert_eq!(taken(&mut exchange, &[&line[..10], &line[10..]]), Ok(true));
    }

    #[test]
    fn an_answer_for_another_connection_or_too_long_is_wrong() {
        let mut exchange = BenchExchange::echo(64, FramingName::Line);
        let mut line = exchange.request(name(2)).to_vec();
        assert!(taken(&mut exchange, &[&line]).is_err());
        line = exchange.request(name(1)).to_vec();
        line.push(b'\n');
        assert!(taken(&mut exchange, &[&line]).is_err());
    }

    #[test]
    fn a_newline_after_an_answer_does_no_harm() {
        for expected in ["ok", "ok\n"] {
            let mut exchange = asked(Expected::Text(expected.to_owned()), FramingName::Line);
            for fine in [
                &[b"ok" as &[u8]][..],
                &[b"ok\n"],
                &[b"\nok"],
                &[b"\n", b"ok"],
            ] {
                assert_eq!(taken(&mut exchange, fine), Ok(true));
            }
            for wrong in [b"ok\n\n" as &[u8], b"OK", b"okay"] {
                assert!(taken(&mut exchange, &[wrong]).is_err());
            }
            assert_eq!(taken(&mut exchange, &[b"o"]), Ok(false));
        }
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_line_a_read_or_a_framed_answer() {
        let prefix = |framing| asked(Expected::Prefix("ok".to_owned()), framing);
        let lines = &mut prefix(FramingName::Line);
        assert_eq!(taken(lines, &[b"o", b"k 7", b"\n"]), Ok(true));
        assert_eq!(taken(lines, &[b"ok"]), Ok(false));
        assert_eq!(taken(lines, &[b"ok\nmore"]), Err(WrongAnswer::Longer));
        assert!(taken(lines, &[b"o", b"h"]).is_err());
        let raw = &mut prefix(FramingName::Raw);
        assert_eq!(taken(raw, &[b"ok\nmore"]), Ok(true));
        assert_eq!(taken(raw, &[b"o", b"k"]), Ok(true));
        let length = &mut prefix(FramingName::Length);
        assert_eq!(taken(length, &[b"\0\0", b"\0\x04o", b"k", b"ay"]), Ok(true));
        assert_eq!(
            taken(length, &[b"\0\0\0\x02okay"]),
            Err(WrongAnswer::Longer)
        );
        assert!(taken(length, &[b"\0\0\0\x01o"]).is_err());
        let any = &mut asked(Expected::Any, FramingName::Length);
        assert_eq!(taken(any, &[b"\0\0\0\0"]), Ok(true));
        let any = &mut asked(Expected::Any, FramingName::Line);
        assert_eq!(taken(any, &[b"\n"]), Ok(true));
    }

    #[test]
    fn the_first_difference_and_both_ends_are_shown() {
        let WrongAnswer::Differs { expected, found } =
            WrongAnswer::new(&[b'a'; 100], &[vec![b'a'; 60], vec![0x1b]].concat())
        else {
            panic!("they differ");
        };
        assert_eq!(found, "\"…aaaaaaaa\\x1b\"");
        assert!(expected.ends_with("a…aaaaaaaa\""), "{expected}");
        let exchange = &mut asked(Expected::Text("ok".to_owned()), FramingName::Line);
        let Err(WrongAnswer::Differs { expected, found }) = taken(exchange, &[b"ok\r\n"]) else {
            panic!("they differ");
        };
        assert_eq!((&*expected, &*found), ("\"ok\\n\"", "\"ok\\r\\n\""));
    }
}
