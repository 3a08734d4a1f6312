//! A request of `serve --http` as a line of text or JSON.

use http::{StatusCode, Version};
use serde::Serialize;

use super::message::MessageSender;
use crate::escape;

/// A request that is about to be answered.
pub(crate) struct ShownRequest<'a> {
    pub(crate) method: &'a str,
    /// As it was sent.
    pub(crate) target: &'a str,
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    /// The length of the body that is sent.
    pub(crate) bytes: u64,
}

#[derive(Serialize)]
struct RequestEvent<'a> {
    event: &'static str,
    method: &'a str,
    target: &'a str,
    version: String,
    status: u16,
    bytes: u64,
    pid: Option<i32>,
    comm: Option<String>,
    uid: Option<u32>,
}

impl ShownRequest<'_> {
    /// `pid 4242 (curl) uid 1000 "GET /a HTTP/1.1"`, as the common log format has it.
    pub(crate) fn describe(&self, sender: &MessageSender) -> String {
        let request = format!("{} {} {:?}", self.method, self.target, self.version);
        format!(
            "{} {}",
            sender.describe(),
            escape::quoted(request.as_bytes())
        )
    }

    /// `pid 4242 (curl) uid 1000 "GET /a HTTP/1.1" 200 1234` and a newline.
    pub(crate) fn as_text(&self, sender: &MessageSender) -> Vec<u8> {
        let (status, bytes) = (self.status.as_u16(), self.bytes);
        format!("{} {status} {bytes}\n", self.describe(sender)).into_bytes()
    }

    /// The same as a JSON object.
    pub(crate) fn as_json(&self, sender: &MessageSender) -> serde_json::Result<Vec<u8>> {
        let event = RequestEvent {
            event: "request",
            method: self.method,
            target: self.target,
            version: format!("{:?}", self.version),
            status: self.status.as_u16(),
            bytes: self.bytes,
            pid: sender.pid(),
            comm: sender.command(),
            uid: sender.uid(),
        };
        let mut line = escape::json(&serde_json::to_string(&event)?);
        line.push('\n');
        Ok(line.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_chose_is_escaped() {
        let request = ShownRequest {
            method: "GET",
            target: "/\"\u{202e}",
            version: Version::HTTP_11,
            status: StatusCode::NOT_FOUND,
            bytes: 4,
        };
        let sender = MessageSender::new(None);
        assert_eq!(
            String::from_utf8(request.as_text(&sender)).unwrap(),
            "pid ? (?) uid ? \"GET /\\\"\\u{202e} HTTP/1.1\" 404 4\n"
        );
        assert_eq!(
            String::from_utf8(request.as_json(&sender).unwrap()).unwrap(),
            "{\"event\":\"request\",\"method\":\"GET\",\"target\":\"/\\\"\\u202e\",\"version\":\"HTTP/1.1\",\"status\":404,\"bytes\":4,\"pid\":null,\"comm\":null,\"uid\":null}\n"
        );
    }
}
