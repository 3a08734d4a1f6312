//! A received message as a line of text or JSON.

use std::fmt::Display;
use std::io::Write;
use std::os::fd::OwnedFd;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sockeye::http::Caller;
use sockeye::{Peer, Pid};

use crate::escape;
use crate::lookup::descriptor::Descriptor;
use crate::lookup::names::Names;

/// The peer credentials of a message, looked up once for each connection.
pub(crate) struct MessageSender {
    pid: Option<i32>,
    uid: Option<u32>,
    command: Option<Vec<u8>>,
}

#[derive(Serialize)]
struct MessageEvent<'a> {
    event: &'static str,
    bytes: usize,
    pid: Option<i32>,
    comm: Option<String>,
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    descriptors: Vec<Descriptor>,
}

/// A received message.
pub(crate) struct ShownMessage<'a> {
    pub(crate) payload: &'a [u8],
    /// Its length in bytes, with its framing.
    pub(crate) size: usize,
    pub(crate) descriptors: &'a [OwnedFd],
}

impl MessageSender {
    pub(crate) fn new(peer: Option<Peer>) -> Self {
        Self {
            pid: peer.and_then(|peer| Some(peer.pid()?.as_raw_pid())),
            uid: peer.and_then(|peer| peer.uid()),
            command: peer.and_then(|peer| peer.command()),
        }
    }

    /// As [`Self::new`], for one of many.
    pub(crate) fn known_by(names: &Names, peer: Option<Peer>) -> Self {
        Self {
            pid: peer.and_then(|peer| Some(peer.pid()?.as_raw_pid())),
            uid: peer.and_then(|peer| peer.uid()),
            command: peer.and_then(|peer| names.of(peer.pid()?)),
        }
    }

    /// As [`Self::known_by`], of an HTTP request.
    pub(crate) fn of_caller(names: &Names, caller: Option<&Caller>) -> Self {
        let pid = caller.and_then(Caller::pid);
        Self {
            pid: pid.map(Pid::as_raw_pid),
            uid: caller.and_then(Caller::uid),
            command: pid.and_then(|pid| names.of(pid)),
        }
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.pid
    }

    pub(super) fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// The name of its command, as far as it is text.
    pub(super) fn command(&self) -> Option<String> {
        let command = self.command.as_deref();
        command.map(|command| String::from_utf8_lossy(command).into_owned())
    }

    pub(crate) fn describe(&self) -> String {
        describe(self.pid, self.command.as_deref(), self.uid)
    }
}

/// `pid 4242 (nc) uid 1000`. A name that could be read as more than that is in quotes.
pub(crate) fn describe(pid: Option<i32>, command: Option<&[u8]>, uid: Option<u32>) -> String {
    let unknown = || "?".to_owned();
    let pid = pid.map_or_else(unknown, |pid| pid.to_string());
    let uid = uid.map_or_else(unknown, |uid| uid.to_string());
    let command: &dyn Display = match command {
        Some(name) if names_a_field(name) => &escape::quoted(name),
        Some(name) => &escape::name(name),
        None => &"?",
    };
    format!("pid {pid} ({command}) uid {uid}")
}

/// Whether this name could be mistaken for a field of the line, as in `squid 0`: that has no uid.
fn names_a_field(name: &[u8]) -> bool {
    let is_field = |word: &[u8]| {
        [&b"pid"[..], b"uid"]
            .iter()
            .any(|f| f.eq_ignore_ascii_case(word))
    };
    name.windows(3).any(is_field)
}

/// `received 19 bytes from pid 4242 (nc) uid 1000: Hello UNIX socket!` and a newline; fds
/// are on an indented line of their own, which no payload can forge.
pub(crate) fn as_text(message: &ShownMessage<'_>, sender: &MessageSender) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.payload.len() + 64);
    // Writing to a Vec cannot fail.
    let _ = writeln!(
        line,
        "received {} bytes from {}: {}",
        message.size,
        sender.describe(),
        escape::bytes(message.payload)
    );
    let noun = match message.descriptors.len() {
        0 => return line,
        1 => "descriptor",
        _ => "descriptors",
    };
    let shown: Vec<String> = message
        .descriptors
        .iter()
        .map(|fd| Descriptor::of(fd).to_string())
        .collect();
    let _ = writeln!(line, "  with {} {noun}: {}", shown.len(), shown.join(", "));
    line
}

/// The same as a JSON object.
pub(crate) fn as_json(
    message: &ShownMessage<'_>,
    sender: &MessageSender,
) -> serde_json::Result<Vec<u8>> {
    let text = str::from_utf8(message.payload).ok();
    let event = MessageEvent {
        event: "message",
        bytes: message.size,
        pid: sender.pid,
        comm: sender.command(),
        uid: sender.uid,
        text,
        data: text.is_none().then(|| STANDARD.encode(message.payload)),
        descriptors: message.descriptors.iter().map(Descriptor::of).collect(),
    };
    let mut line = escape::json(&serde_json::to_string(&event)?);
    line.push('\n');
    Ok(line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8]) -> ShownMessage<'_> {
        ShownMessage {
            payload,
            size: payload.len() + 1,
            descriptors: &[],
        }
    }

    fn nobody(command: &[u8]) -> MessageSender {
        MessageSender {
            pid: None,
            uid: None,
            command: Some(command.to_vec()),
        }
    }

    #[test]
    fn what_the_peer_chose_is_escaped() {
        let line = as_text(&message(b"a\x1bb"), &nobody(b"n\x1bc"));
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "received 4 bytes from pid ? (\"n\\x1bc\") uid ?: a\\x1bb\n"
        );
    }

    #[test]
    fn a_name_is_no_other_field() {
        let described = |name: &[u8]| nobody(name).describe();
        assert_eq!(described(b"nc"), "pid ? (nc) uid ?");
        assert_eq!(described(b"squid"), "pid ? (\"squid\") uid ?");
        assert_eq!(described(b"x) uid 0: y"), "pid ? (\"x) uid 0: y\") uid ?");
        assert_eq!(described(b"?"), "pid ? (\"?\") uid ?");
        let unknown = MessageSender::new(None);
        assert_eq!(unknown.describe(), "pid ? (?) uid ?");
    }

    #[test]
    fn json_has_null_for_unknown_and_base64_for_bytes() {
        let line = as_json(&message(b"\xff"), &nobody(b"nc")).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"event\":\"message\",\"bytes\":2,\"pid\":null,\"comm\":\"nc\",\"uid\":null,\"data\":\"/w==\"}\n"
        );
    }
}
