//! Idle connections that had one answer each.

use crate::client::{self, AnswerKind};
use crate::interrupt::Interrupt;
use crate::server::RunningServer;
use anyhow::{Context, bail, ensure};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;

/// The number of open connections at the end.
pub(crate) const CONNECTIONS: usize = 10_000;

/// File descriptors: the connections, and what a server has open besides.
const DESCRIPTORS: u64 = CONNECTIONS as u64 + 1000;

/// Lets us, and the servers that we start from here on, open as many descriptors as the hard limit allows; a server may
/// have reasons to need two for a connection.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let hard = getrlimit(Resource::Nofile).maximum;
    // Beyond the hard limit goes only who has the privilege.
    let limit = hard.map(|hard| hard.max(DESCRIPTORS));
    let raised = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, raised).with_context(|| {
        format!("{DESCRIPTORS} descriptors are needed; raise the hard limit (ulimit -Hn), or choose other parts with --only")
    })
}

/// Open as long as the value lives.
pub(crate) struct Idlers(Vec<OwnedFd>);

impl Idlers {
    /// Opens `count` connections, and says nothing on them.
    pub(crate) fn open_silent(
        server: &RunningServer,
        count: usize,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let connect = |index| {
            interrupt.check()?;
            let stream = client::connect(server.address());
            stream.with_context(|| format!("cannot open connection {index}"))
        };
        Ok(Self((0..count).map(connect).collect::<Result<_, _>>()?))
    }

    /// Opens `count` connections, and has one answer on each.
    pub(crate) fn open(
        server: &RunningServer,
        count: usize,
        answer: AnswerKind,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let mut idlers = Self(Vec::with_capacity(count));
        for index in 0..count {
            interrupt.check()?;
            let stream = client::connect(server.address())
                .with_context(|| format!("cannot open connection {index}"))?;
            client::exchange(&stream, answer, index)
                .with_context(|| format!("on connection {index}"))?;
            idlers.0.push(stream);
        }
        Ok(idlers)
    }

    /// Has one answer on each, one after the other.
    pub(crate) fn exchange_each(
        &self,
        answer: AnswerKind,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        for (index, stream) in self.0.iter().enumerate() {
            interrupt.check()?;
            client::exchange(stream, answer, index)
                .with_context(|| format!("on connection {index}"))?;
        }
        Ok(())
    }

    /// Has another answer on each, of `size` bytes; all of them are under way at once.
    pub(crate) fn exchange(&self, size: usize, interrupt: &Interrupt) -> anyhow::Result<()> {
        let message = vec![b'.'; size];
        let mut answer = vec![0; size];
        for stream in &self.0 {
            interrupt.check()?;
            let sent = rustix::net::send(stream, &message, SendFlags::empty())?;
            ensure!(sent == size, "only {sent} bytes were taken");
        }
        for stream in &self.0 {
            let mut received = 0;
            while received < size {
                match client::receive(stream, &mut answer[received..])? {
                    0 => bail!("the server closed a connection"),
                    count => received += count,
                }
            }
            ensure!(answer == message, "wrong answer of {size} bytes");
        }
        Ok(())
    }

    /// Checks that the connections are open: a server that had closed them would seem to need little memory.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        for stream in &self.0 {
            let state = rustix::net::recv(stream, &mut [0u8; 2], flags);
            let open = matches!(state, Err(rustix::io::Errno::AGAIN) | Ok((1, _)));
            ensure!(open, "the server did not leave its connections open");
        }
        Ok(())
    }
}
