use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args};
use sockeye::{Connector, Kind};

use super::address::{TypedAddress, connectable};
use super::listen::{ListenOptions, LogOptions};
use super::unresolved::Unresolved;
use super::values::{duration, timeout, whole};
use crate::exit::{Exit, failure};

const EXAMPLES: &str = "\
Examples:
  sockeye replay app.pcapng /run/app.sock
  sockeye replay --speed max --check --mask '^Date: .*' app.pcapng /run/app.sock
  sockeye replay --connection 3 app.pcapng /run/app.sock
  sockeye replay --serve app.pcapng /tmp/stand-in.sock
  curl --unix-socket /tmp/stand-in.sock http://localhost/

FILE is a pcap-ng file: one that sockeye tap --record has written, or what
Wireshark or editcap has made of it. Streams are played at a path or @name,
records at one with seqpacket: or dgram: in front. Left out and counted (exit 7)
are connections that passed file descriptors, that lack their beginning, or of
which something in the middle is missing. A file that was cut is played as far
as it goes (exit 7).

Order: what a client sends waits for the recorded amount of the answer before
it, at every speed. A connection that began after another one had ended in the
recording begins after that has ended in the replay. EOF is sent where the
client had half-closed or closed, and a reset closes the connection.

Comparing (--check): the whole answer of each connection, byte for byte; of
records, each one. More than was recorded differs too, unless the client had
closed before it had read everything. The first difference of each connection is
printed, for the first 10 connections, and the connection is closed there.

Masks: REGEX has the syntax of Rust's regex (docs.rs/regex), over bytes; ^ and $
match at each line, and . matches no line end. What it matches in the recording
and in the answer is left out on both sides before they are compared, so that
lengths may differ. A match has at most 32KiB. The amount that a request waits
for is counted without it too; where an answer ends in something that is left
out, it is complete when nothing has come for 100ms.

Serving (--serve): each client gets the answers of a connection whose client has
sent the same bytes: of one that was not played yet, in the order of the
recording; when all were, of the first one. The choice changes when the client
sends something else than that connection has next: then the answers of another
one follow that had sent all of it. A server that speaks first does so. A client
that sends what no connection has is disconnected, and the first difference to
the closest connection is logged. With dgram: a sender is a client; one that goes
on differently begins anew. SIGINT, SIGTERM and SIGHUP begin a drain.

Exit status:
  0  all was played, and with --check all answers were the same
  1  an answer differs, the server closed a connection too early, or FILE is no
     recording
  3  there is no FILE
  5  FILE may not be read
  6  an answer did not come in time, and no other one differs
  7  connections were left out, or FILE was cut; with --serve also: a client sent
     what no connection has, or was aborted
If the server cannot be reached, the replay ends with the exit status of sockeye
send.";

/// Play a recording: its clients against a server, or its server for clients
///
/// Each connection of FILE is made at ADDRESS, and what its client had sent is sent
/// again, at the recorded times. With --check the answers are compared with the
/// recorded ones. With --serve the command listens at ADDRESS and gives clients the
/// answers of the recorded server, as a stand-in for it in tests.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    mut_args(only_to_serve),
    mut_arg("max_connections", max_connections_help),
)]
pub(crate) struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The server: a path or @name, with seqpacket: or dgram: in front for a recording
    /// of records. With --serve: where to listen, also fd:N or systemd:NAME
    #[arg(value_parser = connectable())]
    pub(crate) address: TypedAddress,

    /// Play the server: listen at ADDRESS, and answer clients as was recorded
    #[arg(long)]
    pub(crate) serve: bool,

    /// Divide the recorded times by N (as in 2 or 0.5), or with max wait for answers
    /// only [default: 1; with --serve: max]
    #[arg(long, value_name = "N|max", value_parser = speed)]
    pub(crate) speed: Option<Speed>,

    /// Play connection N only, counted from 0 as tcp.stream of Wireshark is; may be
    /// repeated
    #[arg(long = "connection", value_name = "N", value_parser = whole::<usize>)]
    pub(crate) connections: Vec<usize>,

    /// Compare the answers with the recorded ones
    #[arg(long, conflicts_with = "serve")]
    pub(crate) check: bool,

    /// Leave out what matches REGEX, on both sides, as in '^Date: .*'; may be repeated
    #[arg(long = "mask", value_name = "REGEX", requires = "check")]
    pub(crate) masks: Vec<String>,

    /// Give up on a connection when the server has sent nothing for D, while an answer
    /// is due, or has read nothing
    #[arg(long, value_name = "D", default_value = "10s", value_parser = timeout, conflicts_with = "serve")]
    pub(crate) timeout: Duration,

    /// Give up if the server's backlog or datagram queue stays full for D
    #[arg(short = 'w', long, value_name = "D", default_value = "10s", value_parser = duration, conflicts_with = "serve")]
    pub(crate) connect_timeout: Duration,

    /// Wait up to D for the server to appear
    #[arg(long, value_name = "D", default_value = "0s", hide_default_value = true, value_parser = duration, conflicts_with = "serve")]
    wait: Duration,

    #[command(flatten)]
    pub(crate) listen: ListenOptions,

    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// Without waiting for times.
    Max,
}

impl Speed {
    /// As it was recorded.
    pub(crate) const RECORDED: Self = Self::Times(1.0);

    /// How long a time of the recording takes; `None` for no time at all.
    pub(crate) fn shorten(self, time: Duration) -> Option<Duration> {
        match self {
            Self::Times(factor) => {
                let shortened = time.as_secs_f64() / factor;
                Some(Duration::try_from_secs_f64(shortened).unwrap_or(Duration::MAX))
            }
            Self::Max => None,
        }
    }
}

impl ReplayArgs {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        if self.serve {
            self.address.is_to_be_bound();
        }
        let address = [Unresolved::Address(&mut self.address)];
        self.listen.unresolved().chain(address).collect()
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new()
            .allow_fd_passing(false)
            .connect_timeout(self.connect_timeout)
            .wait_for(self.wait)
    }

    /// Options of `--serve` that do not fit the kind of the socket are wrong usage.
    pub(crate) fn check_kind(&self, kind: Kind) -> anyhow::Result<()> {
        let is_datagram = kind == Kind::Datagram;
        let unused = [
            ("--takeover", self.listen.takeover),
            ("--max-per-uid", self.listen.max_per_uid.is_some()),
            (
                "--first-byte-timeout",
                self.listen.first_byte_timeout.is_some(),
            ),
            ("--idle-timeout", self.listen.idle_timeout.is_some()),
            ("--once", self.listen.once),
        ];
        match unused.iter().find(|(_, is_given)| *is_given && is_datagram) {
            Some((option, _)) => {
                let address = self.address.quoted();
                let text = format!(
                    "cannot listen on {address} with {option}: datagrams have no connection; omit {option}"
                );
                Err(failure(Exit::Usage, text))
            }
            None => Ok(()),
        }
    }
}

/// The options of the listening side need `--serve`.
fn only_to_serve(option: Arg) -> Arg {
    const FOR_BOTH: [&str; 3] = ["max_connections", "end_with_parent", "help"];
    let id = option.get_id().as_str();
    let is_listening = ListenOptions::augment_args(clap::Command::new("listen"))
        .get_arguments()
        .any(|listening| listening.get_id().as_str() == id);
    if is_listening && !FOR_BOTH.contains(&id) {
        option.requires("serve")
    } else {
        option
    }
}

fn max_connections_help(option: Arg) -> Arg {
    option.help("Have at most N connections open at a time [default: 256]. With --serve: connection limit [default: no limit; with dgram: the last 1024 senders]")
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse() {
        Ok(factor) if (1e-6..=1e6).contains(&factor) => Ok(Speed::Times(factor)),
        _ => Err("write a number above 0, as in 2 or 0.5, or max".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("2"), Ok(Speed::Times(2.0)));
        assert_eq!(speed("0.5"), Ok(Speed::Times(0.5)));
        for bad in ["0", "-1", "", "fast", "NaN", "inf"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
        let second = Duration::from_secs(1);
        assert_eq!(Speed::Times(4.0).shorten(second), Some(second / 4));
        assert_eq!(Speed::Max.shorten(second), None);
    }
}
