//! A connection to a server under test, and what is sent over it.

use anyhow::{Context, bail, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout, set_tcp_nodelay};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Bytes in every message, the newline at its end included.
pub(crate) const MESSAGE_SIZE: usize = 64;

/// A server that takes longer for anything is stuck, and the run ends with an error.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The answer of every server that does not echo; some add a newline.
pub(crate) const REPLY: &[u8] = b"Message received successfully";

/// What a server does with a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnswerKind {
    /// Sends it back.
    Echo,
    /// Sends [`REPLY`].
    Reply,
    /// Answers [`HTTP_REQUEST`].
    Http,
}

impl AnswerKind {
    /// The answer, or the end of one of HTTP.
    pub(crate) fn to_message(self, message: &[u8; MESSAGE_SIZE]) -> &[u8] {
        match self {
            Self::Echo => message,
            Self::Reply => REPLY,
            Self::Http => &HTTP_BODY,
        }
    }
}

/// What HTTP servers are asked.
pub(crate) const HTTP_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The body of their answer: a line of dots.
pub(crate) const HTTP_BODY: [u8; MESSAGE_SIZE] = [b'.'; MESSAGE_SIZE];

/// A line that names its connection, so that an answer for another connection is noticed.
pub(crate) fn message(connection: usize) -> [u8; MESSAGE_SIZE] {
    let mut message = [b'.'; MESSAGE_SIZE];
    let name = format!("connection {connection} ");
    message[..name.len()].copy_from_slice(name.as_bytes());
    message[MESSAGE_SIZE - 1] = b'\n';
    message
}

/// Connects; no wait in here or on the stream exceeds [`PATIENCE`]. Two system calls more than the standard library's
/// connect, which waits for ever where a backlog is full.
pub(crate) fn connect(address: &SocketAddrAny) -> rustix::io::Result<OwnedFd> {
    let family = address.address_family();
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    if family == AddressFamily::INET {
        set_tcp_nodelay(&socket, true)?;
    }
    rustix::net::connect(&socket, address)?;
    Ok(socket)
}

/// Sends one short message into an empty socket buffer, which takes all of it.
pub(crate) fn send(stream: &OwnedFd, message: &[u8]) -> anyhow::Result<()> {
    let sent = rustix::net::send(stream, message, SendFlags::empty()).context("cannot send")?;
    ensure!(sent == message.len(), "only {sent} bytes were taken");
    Ok(())
}

/// Has one answer on a connection, and returns its length.
pub(crate) fn exchange(
    stream: &OwnedFd,
    answer: AnswerKind,
    connection: usize,
) -> anyhow::Result<usize> {
    let message = message(connection);
    match answer {
        AnswerKind::Http => {
            send(stream, HTTP_REQUEST)?;
            read_http_answer(stream)
        }
        AnswerKind::Echo | AnswerKind::Reply => {
            send(stream, &message)?;
            read_answer(stream, answer, &message)?;
            Ok(MESSAGE_SIZE)
        }
    }
}

/// Reads an answer that ends in [`HTTP_BODY`], and returns its length.
fn read_http_answer(stream: &OwnedFd) -> anyhow::Result<usize> {
    let mut buffer = [0; 1024];
    let mut filled = 0;
    while !buffer[..filled].ends_with(&HTTP_BODY) {
        match receive(stream, &mut buffer[filled..])? {
            0 => bail!("no HTTP: {:?}", String::from_utf8_lossy(&buffer[..filled])),
            n => filled += n,
        }
    }
    check_http_answer(&buffer[..filled])?;
    Ok(filled)
}

pub(crate) fn check_http_answer(answer: &[u8]) -> anyhow::Result<()> {
    ensure!(
        answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(&HTTP_BODY),
        "wrong answer: {:?}",
        String::from_utf8_lossy(answer)
    );
    Ok(())
}

/// Receives what is there, and waits if there is nothing; 0 is EOF.
pub(crate) fn receive(stream: &OwnedFd, buffer: &mut [u8]) -> anyhow::Result<usize> {
    match rustix::net::recv(stream, buffer, RecvFlags::empty()) {
        Ok((n, _)) => Ok(n),
        Err(rustix::io::Errno::AGAIN) => bail!("no answer within {PATIENCE:?}"),
        Err(error) => Err(error).context("no answer"),
    }
}

/// Reads one answer from a connection that stays open, and compares it.
pub(crate) fn read_answer(
    stream: &OwnedFd,
    answer: AnswerKind,
    message: &[u8; MESSAGE_SIZE],
) -> anyhow::Result<()> {
    let expected = answer.to_message(message);
    // A newline after the reply may come in the same read: there is room for it, and it is not missed if it does not.
    let mut buffer = [0; MESSAGE_SIZE + 1];
    let mut filled = 0;
    while filled < expected.len() {
        match receive(stream, &mut buffer[filled..])? {
            0 => bail!("the server closed the connection before its answer was complete"),
            n => filled += n,
        }
    }
    check_answer(&buffer[..filled], expected)
}

/// The expected bytes, and at most a newline more.
pub(crate) fn check_answer(answer: &[u8], expected: &[u8]) -> anyhow::Result<()> {
    match answer.strip_prefix(expected) {
        Some(b"" | b"\n") => Ok(()),
        _ => bail!("wrong answer: {:?}", String::from_utf8_lossy(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_names_its_connection() {
        let text = message(9999);
        assert!(text.starts_with(b"connection 9999 "));
        assert_eq!(text.iter().position(|&byte| byte == b'\n'), Some(63));
        assert_ne!(message(1), message(2));
    }

    #[test]
    fn only_a_newline_may_follow_an_answer() {
        assert!(check_answer(REPLY, REPLY).is_ok());
        assert!(check_answer(b"Message received successfully\n", REPLY).is_ok());
        assert!(check_answer(b"Message received successfully\n\n", REPLY).is_err());
        assert!(check_answer(b"Message", REPLY).is_err());
    }
}
