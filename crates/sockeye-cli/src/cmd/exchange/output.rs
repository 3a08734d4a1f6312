//! [`Output`]: answers on standard output.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::BytesMut;
use rustix::net::Shutdown;
use rustix::process::Signal;
use sockeye::Address;
use sockeye::ancillary::SendError;
use sockeye::framing::{Codec, Framing, FramingError};
use tokio_util::codec::Decoder;

use super::channel::Channel;
use super::pieces::{Piece, borrowed};
use super::unpassed_fds::UnpassedFds;
use crate::exit::{Exit, by_signal, failure};
use crate::stdio;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFormat {
    /// As they come.
    AsIs,
    /// A line for each record.
    Lines,
    /// The payloads of length-prefixed frames, of at most so many bytes.
    Payloads(usize),
}

pub(super) struct Output<'a> {
    /// The server.
    address: &'a Address,
    form: AnswerFormat,
    frames: Option<(Codec, BytesMut)>,
    /// Standard output, if fds can be passed on through it.
    pub(super) relay: Option<Channel>,
    /// Whether anything was sent.
    pub(super) is_asked: bool,
    /// Whether anything was received.
    pub(super) is_used: bool,
    /// Those that could not be passed on.
    received: Arc<UnpassedFds>,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        address: &'a Address,
        form: AnswerFormat,
        relay: Option<Channel>,
        received: Arc<UnpassedFds>,
    ) -> Self {
        let frames = match form {
            AnswerFormat::Payloads(limit) => {
                Some((Codec::new(Framing::Length, limit), BytesMut::new()))
            }
            _ => None,
        };
        Self {
            address,
            form,
            frames,
            relay,
            is_asked: false,
            is_used: false,
            received,
        }
    }

    pub(super) fn write(&mut self, mut piece: Piece) -> anyhow::Result<()> {
        self.is_used = true;
        if let Some((codec, came)) = &mut self.frames {
            came.extend_from_slice(&piece.bytes);
            while let Some(frame) = codec.decode(came).map_err(|e| unframed(self.address, &e))? {
                stdio::print(&frame.payload)?;
            }
        }
        let mut bytes = std::mem::take(&mut piece.bytes);
        let keeps_records = self.relay.as_ref().is_some_and(Channel::has_records);
        if matches!(self.form, AnswerFormat::Lines)
            && !keeps_records
            && bytes.last() != Some(&b'\n')
        {
            bytes.push(b'\n');
        }
        if let Some(relay) = &self.relay {
            return relay
                .send(&bytes, &borrowed(&piece.descriptors))
                .map_err(unsent);
        }
        self.received.take(std::mem::take(&mut piece.descriptors))?;
        match self.frames {
            Some(_) => Ok(()),
            None => stdio::print(&bytes),
        }
    }

    /// The server has half-closed, or closed: EOF.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        if let Some(relay) = &self.relay {
            relay.end(Shutdown::Write);
        }
        let Some((codec, came)) = &mut self.frames else {
            return Ok(());
        };
        codec
            .decode_eof(came)
            .map_err(|e| unframed(self.address, &e))?;
        Ok(())
    }

    /// Reports fds that could not be passed on; whether the output is complete.
    pub(super) fn complete(&self) -> Exit {
        self.received.complete()
    }
}

/// Standard output, if it is the same connected UNIX socket as standard input.
pub(crate) fn one_socket() -> Option<Channel> {
    if stdio::is_one_file() {
        Channel::of_inherited(io::stdout().as_fd())
    } else {
        None
    }
}

fn unsent(error: SendError) -> anyhow::Error {
    use ErrorKind::{BrokenPipe, ConnectionReset};
    let (exit, text) = match error {
        SendError::Io(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
            return by_signal(Signal::PIPE);
        }
        SendError::DescriptorsRefused => (
            Exit::NotPermitted,
            "file descriptors came with the answer, and its reader refuses them (EPERM); have that program accept them".to_owned(),
        ),
        error => (Exit::Failed, error.to_string()),
    };
    failure(exit, format!("cannot write to standard output: {text}"))
}

fn unframed(address: &Address, error: &FramingError) -> anyhow::Error {
    let advice = match error {
        FramingError::TooLong { .. } => {
            "--max-message allows longer ones, if it has length framing"
        }
        _ => "look at the server",
    };
    failure(
        Exit::Failed,
        format!(
            "cannot read the answer of {}: {error}; {advice}",
            address.quoted()
        ),
    )
}
