//! [`Messages`] from a [`Framed`] and back, with the bytes that were read and not decoded yet.

use bytes::Bytes;
use rustix::net::Shutdown;
use tokio_util::codec::{Framed, FramedParts};

use super::Messages;
use super::transport::MessageReader;
use crate::framing::Codec;

/// For a `Sink` and a `Stream` of messages. It does not
/// drain by itself ([`Connection::shutdown_token`](crate::server::Connection::shutdown_token) says when), its buffers do not count for
/// [`Server::max_buffered`](crate::server::Server::max_buffered), and it closes received fds.
impl<S: MessageReader> From<Messages<S>> for Framed<S, Codec> {
    fn from(mut messages: Messages<S>) -> Self {
        if messages.unpark().is_err() {
            // The begun message was evicted: what follows is no message.
            let _ = rustix::net::shutdown(&messages.connection, Shutdown::Both);
        }
        messages.keep_the_rest();
        messages.connection.note_idle(false);
        let mut parts = FramedParts::new::<Bytes>(messages.connection, messages.codec);
        parts.read_buf = messages.buffer;
        Self::from_parts(parts)
    }
}

/// Fails, and returns the `Framed`, where it has not sent everything: flush it first.
impl<S: MessageReader> TryFrom<Framed<S, Codec>> for Messages<S> {
    type Error = Framed<S, Codec>;

    fn try_from(framed: Framed<S, Codec>) -> Result<Self, Self::Error> {
        if !framed.write_buffer().is_empty() {
            return Err(framed);
        }
        let parts = framed.into_parts();
        let mut messages = Self::with_codec(parts.io, parts.codec);
        if !parts.read_buf.is_empty() {
            messages.buffer = parts.read_buf;
            messages.is_cut = true;
            messages.drain.came();
            messages.connection.note_idle(false);
        }
        Ok(messages)
    }
}
