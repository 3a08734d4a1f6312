//! A running server under test.

use crate::child::Child;
use crate::client::{self, PATIENCE};
use crate::peer::Peer;
use crate::stop::Stop;
use anyhow::{Context, bail};
use rustix::net::SocketAddrUnix;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ends with the value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddrUnix,
}

impl Server {
    /// Starts a peer on a new socket in `directory` and returns once it accepts connections.
    pub(crate) fn start(peer: &Peer, directory: &Path, stop: &Stop) -> anyhow::Result<Self> {
        // A directory for each start: what a killed server leaves behind is in nobody's way.
        let directory = tempfile::tempdir_in(directory)?.keep();
        let path = directory.join("s");
        let log = directory.join("log");
        let mut child = Child::start(
            Command::new(&peer.program)
                .args(peer.arguments)
                .arg(&path)
                .args(peer.handler)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(&log)?),
        )?;
        let address = SocketAddrUnix::new(&path)?;
        let deadline = Instant::now() + PATIENCE;
        while client::connect(&address).is_err() {
            if let Some(status) = child.ended()? {
                bail!("it did not listen but ended: {status}; {}", last_line(&log));
            }
            if Instant::now() > deadline {
                bail!("it does not listen; {}", last_line(&log));
            }
            stop.sleep(Duration::from_millis(5))?;
        }
        Ok(Self { child, address })
    }

    /// Starts a peer, has one answer from it and ends it: does it work at all?
    pub(crate) fn try_out(peer: &Peer, directory: &Path, stop: &Stop) -> anyhow::Result<()> {
        let server = Self::start(peer, directory, stop)?;
        let mut stream = client::connect(server.address())?;
        let message = client::message(0);
        stream.write_all(&message).context("cannot send")?;
        client::read_answer(&mut stream, peer.answer, &message)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn address(&self) -> &SocketAddrUnix {
        &self.address
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    match text.lines().last() {
        Some(line) => format!("it said: {line}"),
        None => "it said nothing".to_owned(),
    }
}
