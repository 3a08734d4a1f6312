//! The errors of a load.

use std::io;

use rustix::io::Errno;

use super::super::{PATIENCE, complaint};
use super::Load;
use crate::exit::Exit;

impl Load<'_> {
    pub(super) fn silence(&self, waiting: usize) -> anyhow::Error {
        // Nothing tells a datagram socket that waits for an answer.
        if self.target.is_gone() {
            return self.target.gone();
        }
        let all = self.connections.len();
        complaint(
            Exit::TimedOut,
            &self.target.endpoint,
            &format!("{waiting} of {all} connections had no answer for {PATIENCE:?}"),
            "look at the server, or take fewer --connections",
        )
    }

    /// The times of nothing but errors would say nothing about the server.
    pub(super) fn must_have_answers(&self) -> anyhow::Result<()> {
        match self.sample.errors.keys().next() {
            Some(status) if self.sample.answers == 0 => Err(complaint(
                Exit::Failed,
                &self.target.endpoint,
                &format!("no answer had the status 2xx; one had {status}"),
                "look at the path, with sockeye send --http",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn cannot_send(&self, errno: Errno) -> anyhow::Error {
        match errno {
            Errno::MSGSIZE => complaint(
                Exit::Failed,
                &self.target.endpoint,
                &format!(
                    "a record of {} bytes is too long for the kernel",
                    self.exchange.size()
                ),
                "take a smaller --size",
            ),
            Errno::CONNREFUSED | Errno::NOTCONN => self.target.gone(),
            _ => self.broken(&io::Error::from(errno).to_string()),
        }
    }

    pub(super) fn broken(&self, found: &str) -> anyhow::Error {
        let advice = if self.exchange.is_echo() {
            "use a server that echoes, or give what it answers with --request and --expect"
        } else {
            "check the server, --expect and --framing"
        };
        complaint(Exit::Failed, &self.target.endpoint, found, advice)
    }
}
