//! [`TextView`]: a line for each message, with its bytes as text or below it as xxd(1) shows them.

use std::fmt::Display;
use std::io::{self, Write};

use sockeye::relay::{
    DirectionEnd, ObservedBegin, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece,
};
use sockeye::{Kind, Pid};

use super::connection::TapConnection;
use super::style::{TIME, TapStyle, brief};
use super::{TapMissed, TapView, bytes, hex};
use crate::escape;
use crate::output::message::describe;

/// A line for each message.
pub(super) struct TextView {
    style: TapStyle,
    body: MessageBody,
    /// The most bytes of a message that are shown.
    most: usize,
}

/// How the bytes of a message are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageBody {
    Text,
    Hex,
}

impl TextView {
    pub(super) fn new(style: TapStyle, body: MessageBody, most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { style, body, most }
    }

    /// The bytes, and how many more there are.
    fn body(&self, out: &mut Vec<u8>, message: &[u8]) -> io::Result<()> {
        let shown = match self.body {
            MessageBody::Text => prefix(message, self.most),
            MessageBody::Hex => &message[..message.len().min(self.most)],
        };
        let more = message.len() - shown.len();
        let more = match more {
            0 => String::new(),
            _ => self.style.dim(&format!("... {} more", bytes(more as u64))),
        };
        match self.body {
            MessageBody::Text if shown.is_empty() => writeln!(out),
            MessageBody::Text => writeln!(out, ": {}{more}", escape::bytes(shown)),
            MessageBody::Hex => {
                writeln!(out)?;
                hex::dump(out, shown)?;
                if more.is_empty() || shown.is_empty() {
                    return Ok(());
                }
                writeln!(out, "{more}")
            }
        }
    }
}

impl TapView for TextView {
    fn begin(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        begin: &ObservedBegin,
    ) -> io::Result<()> {
        tell_begin(out, &self.style, connection, begin)
    }

    fn message(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        piece: &ObservedPiece,
    ) -> io::Result<()> {
        let style = &self.style;
        style.start(out, Some(piece.time), piece.connection)?;
        let (arrow, size) = (
            style.arrow(piece.direction),
            bytes(piece.bytes.len() as u64),
        );
        let since = style.dim(&format!("+{}", brief(connection.since_last)));
        write!(out, "{arrow} {size} {since}")?;
        self.body(out, &piece.bytes)?;
        if let Some(sender) = connection.client.differs_from(piece.credentials) {
            let pid = sender.pid().map(Pid::as_raw_pid);
            with(out, "credentials", &describe(pid, None, sender.uid()))?;
        }
        tell_fds(out, &piece.fds)
    }

    fn end(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        end: &ObservedEnd,
    ) -> io::Result<()> {
        tell_end(out, &self.style, connection, end)
    }

    fn missed(
        &mut self,
        out: &mut Vec<u8>,
        _: &TapConnection,
        gap: &ObservedGap,
    ) -> io::Result<()> {
        tell_gap(out, &self.style, gap)
    }

    fn finish(&mut self, out: &mut Vec<u8>, missed: &TapMissed) -> io::Result<()> {
        missed.tell(out, &self.style)
    }
}

/// `10:15:03.204614 #1 connected: pid 4242 (curl) uid 1000 (user)`
pub(super) fn tell_begin(
    out: &mut Vec<u8>,
    style: &TapStyle,
    connection: &TapConnection,
    begin: &ObservedBegin,
) -> io::Result<()> {
    style.start(out, Some(begin.time), begin.connection)?;
    let what = match connection.kind {
        Kind::Datagram => "new sender",
        _ => "connected",
    };
    writeln!(out, "{what}: {}", connection.client.describe())
}

/// `10:15:03.205380 #1 < EOF, closed after 766us: 78 bytes to server, 1256 to client`
pub(super) fn tell_end(
    out: &mut Vec<u8>,
    style: &TapStyle,
    connection: &TapConnection,
    end: &ObservedEnd,
) -> io::Result<()> {
    style.start(out, Some(end.time), end.connection)?;
    if connection.is_closed_by_writer(end) {
        return tell_closed(out, connection);
    }
    let how = match (end.end, end.direction) {
        (DirectionEnd::Eof, _) => "EOF".to_owned(),
        (DirectionEnd::ReaderGone, ObservedDirection::ToTarget) => "the server has closed".into(),
        (DirectionEnd::ReaderGone, ObservedDirection::ToClient) => "the client has closed".into(),
        (other, _) => style.error(&other.to_string()),
    };
    write!(out, "{} {how}", style.arrow(end.direction))?;
    if connection.has_closed() {
        write!(out, ", ")?;
        tell_closed(out, connection)
    } else {
        writeln!(out)
    }
}

fn tell_closed(out: &mut Vec<u8>, connection: &TapConnection) -> io::Result<()> {
    let duration = brief(connection.duration());
    let (to_server, to_client) = (connection.to_server.bytes, connection.to_client.bytes);
    let to_server = bytes(to_server);
    writeln!(
        out,
        "closed after {duration}: {to_server} to server, {to_client} to client"
    )
}

/// On the line where the messages would be.
pub(super) fn tell_gap(out: &mut Vec<u8>, style: &TapStyle, gap: &ObservedGap) -> io::Result<()> {
    style.start(out, None, gap.connection)?;
    let text = format!("{} not shown", TapMissed::from(gap).describe());
    writeln!(
        out,
        "{} {}",
        style.arrow(gap.direction),
        style.warning(&text)
    )
}

/// On an indented line, which no message can forge.
fn tell_fds(out: &mut Vec<u8>, fds: &[impl Display]) -> io::Result<()> {
    let noun = match fds.len() {
        0 => return Ok(()),
        1 => "1 fd".to_owned(),
        count => format!("{count} fds"),
    };
    let fds: Vec<String> = fds.iter().map(ToString::to_string).collect();
    with(out, &noun, &fds.join(", "))
}

fn with(out: &mut Vec<u8>, what: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{:TIME$} with {what}: {}", "", escape::line(text))
}

/// At most `most` bytes, and no part of a character.
pub(super) fn prefix(bytes: &[u8], most: usize) -> &[u8] {
    if bytes.len() <= most {
        return bytes;
    }
    let is_inside = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    // A character has four bytes at most; what has more of these is none.
    let back = (1..=most.min(3)).find(|back| !is_inside(bytes[most - back]));
    let Some(back) = back.filter(|_| is_inside(bytes[most])) else {
        return &bytes[..most];
    };
    let start = most - back;
    let character = bytes[start..bytes.len().min(start + 4)]
        .utf8_chunks()
        .next();
    let character = character.and_then(|chunk| chunk.valid().chars().next());
    match character {
        Some(character) if character.len_utf8() > back => &bytes[..start],
        _ => &bytes[..most],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_a_whole_character() {
        let cut = |text: &'static [u8], most| prefix(text, most);
        assert_eq!(cut("aé☺".as_bytes(), 6), "aé☺".as_bytes());
        assert_eq!(cut("aé☺".as_bytes(), 5), "aé".as_bytes());
        assert_eq!(cut("aé☺".as_bytes(), 4), "aé".as_bytes());
        assert_eq!(cut("aé☺".as_bytes(), 2), b"a");
        assert_eq!(cut("☺".as_bytes(), 0), b"");
        assert_eq!(cut(b"\x80\x80\x80\x80\x80\x80", 5), b"\x80\x80\x80\x80\x80");
        assert_eq!(cut(b"ab\xffcd", 3), b"ab\xff");
        assert_eq!(cut(b"ab\x80cd", 2), b"ab");
    }

    #[test]
    fn fds_are_on_a_line_of_their_own() {
        let mut out = Vec::new();
        tell_fds(&mut out, &["/etc/hosts (read)"]).unwrap();
        tell_fds(&mut out, &["pipe:[1]\n", "b"]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "                with 1 fd: /etc/hosts (read)\n                with 2 fds: pipe:[1]\\n, b\n"
        );
    }
}
