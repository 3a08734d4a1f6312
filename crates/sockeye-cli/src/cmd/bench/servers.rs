//! [`EchoServer`]: a server of the benchmark, which is this command in a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sockeye::{Address, Kind, Name};

use crate::args::Endpoint;
use crate::cmd::parent::end_with_us;
use crate::exit::{Exit, failure};
use crate::transport::Transport;

/// How long a process may take from closing its sockets to its end.
const AT_ITS_END: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// A path on the command line is taken as it is, without the escapes of an address.
fn as_argument(address: &Address) -> OsString {
    let mut argument = OsString::from(format!("{}:", address.kind().prefix()));
    argument.push(address.path().unwrap_or("".as_ref()));
    argument
}

/// Killed and waited for when dropped. Its socket file is in a directory that is removed as well.
pub(super) struct EchoServer {
    child: Child,
    pub(super) endpoint: Endpoint,
}

impl EchoServer {
    /// Returns once clients can connect.
    pub(super) fn start(
        transport: Transport,
        directory: &Path,
        max_message: usize,
        busy_poll: Duration,
    ) -> anyhow::Result<Self> {
        let kind = match transport {
            Transport::Unix => Some(Kind::Stream),
            Transport::Seqpacket => Some(Kind::SeqPacket),
            Transport::Dgram => Some(Kind::Datagram),
            Transport::Tcp => None,
        };
        let path = directory.join(transport.name());
        let address = kind
            .map(|kind| Address::new(kind, &Name::Path(path)))
            .transpose()?;
        let mut command = Command::new(std::env::current_exe()?);
        match &address {
            Some(address) => command
                .args([
                    "serve",
                    "--echo",
                    "--quiet",
                    "--ready-fd",
                    "1",
                    "--drain",
                    "0",
                ])
                .args(busy_poll_of(transport, busy_poll))
                .arg("--max-message")
                .arg(max_message.to_string())
                .arg(as_argument(address)),
            None => command.arg("tcp-echo"),
        };
        let child = end_with_us(&mut command)
            // A process group of its own: SIGINT of the terminal is for this process, which ends it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start an echo server")?;
        let mut server = Self {
            child,
            endpoint: address.map_or(Endpoint::Tcp(String::new()), |address| {
                Endpoint::Unix(address.into())
            }),
        };
        let told = server.first_line()?;
        if transport == Transport::Tcp {
            server.endpoint = Endpoint::parse(&told.into()).map_err(anyhow::Error::msg)?;
        }
        Ok(server)
    }

    /// Its exit status, if it has ended. Once its sockets are closed, it is about to.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let process = Pid::from_raw(self.child.id().cast_signed())?;
        let process = pidfd_open(process, PidfdFlags::empty()).ok()?;
        let mut state = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut state, Some(&AT_ITS_END)).ok()?;
        self.child.try_wait().ok()?
    }

    /// The line of `--ready-fd`.
    fn first_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if let Some(stdout) = &mut self.child.stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.pop() == Some('\n') {
            return Ok(line);
        }
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut said)?;
        }
        let said = said.trim_end();
        let said = said.strip_prefix("sockeye: ").unwrap_or(said);
        Err(failure(
            Exit::Failed,
            format!("cannot start an echo server: {said}"),
        ))
    }
}

/// A datagram server has no connections to busy-poll.
fn busy_poll_of(transport: Transport, limit: Duration) -> Vec<String> {
    match transport {
        Transport::Unix | Transport::Seqpacket if !limit.is_zero() => {
            vec!["--busy-poll".to_owned(), format!("{}us", limit.as_micros())]
        }
        _ => Vec::new(),
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        // The pid is not reused before wait(2), so this never kills another process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
