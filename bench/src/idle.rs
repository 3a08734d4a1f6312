//! What connections cost that had one answer and then stay idle.

use crate::client::{self, Answer};
use crate::procfs;
use crate::server::Server;
use crate::stop::Stop;
use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::time::Duration;

/// How many connections are open at the end.
pub(crate) const CONNECTIONS: usize = 10_000;

/// The connections, and what a server keeps open besides.
const DESCRIPTORS: u64 = CONNECTIONS as u64 + 1000;

/// Time that a server has to give memory back once its connections are idle.
const SETTLE: Duration = Duration::from_millis(500);

/// Resident memory of one server in one round.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// Before the first connection, in bytes.
    pub(crate) before: u64,
    /// With all connections idle, in bytes.
    pub(crate) after: u64,
}

impl Cost {
    pub(crate) fn bytes_per_connection(&self) -> f64 {
        (self.after as f64 - self.before as f64) / CONNECTIONS as f64
    }
}

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
        format!("{DESCRIPTORS} descriptors are needed; raise the hard limit (ulimit -Hn), or leave out the idle part")
    })
}

/// Opens the connections, has one answer on each, and weighs the server.
pub(crate) fn measure(server: &Server, answer: Answer, stop: &Stop) -> anyhow::Result<Cost> {
    let before = procfs::resident_bytes(server.pid())?;
    let mut streams = Vec::with_capacity(CONNECTIONS);
    for index in 0..CONNECTIONS {
        stop.check()?;
        let mut stream = client::connect(server.address())
            .with_context(|| format!("cannot open connection {index}"))?;
        let message = client::message(index);
        stream.write_all(&message).context("cannot send")?;
        client::read_answer(&mut stream, answer, &message)
            .with_context(|| format!("on connection {index}"))?;
        streams.push(stream);
    }
    stop.sleep(SETTLE)?;
    let after = procfs::resident_bytes(server.pid())?;
    // A server that had closed them would look thrifty.
    for stream in &streams {
        stream.set_nonblocking(true)?;
        let state = rustix::net::recv(stream, &mut [0u8; 2], rustix::net::RecvFlags::PEEK);
        let open = matches!(state, Err(rustix::io::Errno::AGAIN) | Ok((1, _)));
        ensure!(open, "the server did not leave its connections open");
    }
    Ok(Cost { before, after })
}
