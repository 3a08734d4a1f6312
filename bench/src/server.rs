//! A running server under test.

use crate::child::ChildProcess;
use crate::client::{self, PATIENCE};
use crate::contestants::Contestant;
use crate::interrupt::Interrupt;
use anyhow::{Context, bail};
use rustix::net::{SocketAddrAny, SocketAddrUnix};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Ended on drop.
pub(crate) struct RunningServer {
    child: ChildProcess,
    address: SocketAddrAny,
    path: PathBuf,
    log: PathBuf,
    started: Instant,
}

impl RunningServer {
    /// Starts a peer on a new socket in `directory` and returns once it accepts connections.
    pub(crate) fn start(
        peer: &Contestant,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let (server, _) = Self::start_connected(peer, directory, interrupt)?;
        Ok(server)
    }

    /// The same, with the first connection.
    pub(crate) fn start_connected(
        peer: &Contestant,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<(Self, OwnedFd)> {
        // A directory for each start: what a killed server leaves behind is in nobody's way.
        let directory = tempfile::tempdir_in(directory)?.keep();
        let path = directory.join("s");
        let log = directory.join("log");
        let mut command = Command::new(&peer.program);
        command
            .args(&peer.arguments)
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let address = if peer.is_tcp {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?.into();
            command.arg("-").stdin(OwnedFd::from(listener));
            address
        } else {
            command.arg(&path).stdin(Stdio::null());
            SocketAddrUnix::new(&path)?.into()
        };
        command.args(&peer.handler);
        let started = Instant::now();
        let mut child = ChildProcess::start(&mut command)?;
        // Or it would hold a listening socket open that its server has closed.
        drop(command);
        // Without a pause: how long a start takes is measured, too.
        let stream = loop {
            if let Ok(stream) = client::connect(&address) {
                break stream;
            }
            interrupt.check()?;
            if let Some(status) = child.ended()? {
                bail!("it did not listen but ended: {status}; {}", last_line(&log));
            }
            if started.elapsed() > PATIENCE {
                bail!("it does not listen; {}", last_line(&log));
            }
            std::thread::yield_now();
        };
        let server = Self {
            child,
            address,
            path,
            log,
            started,
        };
        Ok((server, stream))
    }

    /// Starts a peer, reads one answer and ends it, to see whether it works.
    pub(crate) fn try_out(
        peer: &Contestant,
        directory: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        Self::start(peer, directory, interrupt)?.answer_once(peer)
    }

    /// One answer on a connection of its own.
    pub(crate) fn answer_once(&self, peer: &Contestant) -> anyhow::Result<()> {
        let stream = client::connect(&self.address)?;
        client::exchange(&stream, peer.answer, 0).map(drop)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn address(&self) -> &SocketAddrAny {
        &self.address
    }

    /// Where it listens, unless that is TCP.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Just before it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Terminates it, and returns its standard error.
    pub(crate) fn end(mut self, interrupt: &Interrupt) -> anyhow::Result<String> {
        self.child.end(rustix::process::Signal::TERM, interrupt)?;
        fs::read_to_string(&self.log).context("cannot read what the server has written")
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    match text.lines().last() {
        Some(line) => format!("it said: {line}"),
        None => "it said nothing".to_owned(),
    }
}
