use std::time::Duration;

use clap::{Arg, Args, ValueEnum};
use sockeye::Connector;
use sockeye::relay::FdPolicy;

use super::listen::{ListenOptions, LogOptions};
use super::relay_address::{TypedRelayAddress, listened, target};
use super::unresolved::Unresolved;
use super::values::{duration, size, timeout};

const EXAMPLES: &str = "\
Examples:
  sockeye relay /tmp/front.sock /run/app.sock
  sockeye relay /tmp/front.sock /run/app-1.sock /run/app-2.sock
  sockeye relay tcp:127.0.0.1:8080 /run/app.sock
  sockeye relay --mode 0660 --owner :users /tmp/db.sock tcp:localhost:5432
  sockeye relay seqpacket:@front seqpacket:/run/records.sock
  sockeye relay - /run/app.sock < request > answer
  systemd-socket-activate -l /tmp/front.sock sockeye relay --exit-idle 1m systemd: /run/app.sock

Addresses: those of sockeye --help, and
  tcp:HOST:PORT    a TCP port; an IPv6 address is in brackets: tcp:[::1]:80
  vsock:CID:PORT   a port of a virtual machine or of its host (vsock(7))
  -                standard input and output
A relay joins streams (a path, tcp:, vsock:, -) to streams, seqpacket: to
seqpacket:, and dgram: to dgram:. There is one connection where LISTEN or a
TARGET is -, or a connected socket: fd:N, or systemd: with Accept=yes.

What is kept: the bytes, the boundaries of records, empty ones too, and the
byte that a file descriptor came with. EOF, a closed reading side and a reset
are passed on, each direction by itself: after a half-close the answer may
take as long as it likes. Out-of-band data, and a record over --max-record,
reset the connection on both sides; a datagram over it is dropped. The kernel
can reset a UNIX socket only if something that it has sent is unread; otherwise
a reset reads as EOF there, and -v shows it.

Peer credentials: the target sees the relay, and lets every client in that may
connect to LISTEN: mind --mode and --allow-user. With --credentials client,
which takes root, the target sees the user and the groups of the client
(SO_PEERCRED, SO_PEERGROUPS). What cannot be kept: the process id of
SO_PEERCRED, its pidfd and the label of a security module are the relay's.

Graceful shutdown: SIGINT, SIGTERM and SIGHUP begin a drain. New connections
are refused, and open ones go on until both directions have ended, for at most
the time of --drain, since a relay cannot know which are idle. A second signal
aborts. With --takeover, SIGHUP restarts instead: the same command is started
again and takes over.

Exit 7: a connection was aborted: by the drain timeout or a second signal,
because no target could be reached, by a timeout, or by something that cannot
be passed on.
Where the one connection of - or of a connected socket finds no target, the
exit code is that of sockeye send.";

/// Join each client of one address to a server at another one
///
/// What a client sends goes to the target, and what the target sends goes to the
/// client: bytes, records, file descriptors, half-closes and resets. With several
/// TARGETs each client gets the next one (round-robin); one that cannot be reached
/// is set aside for 1 to 30 seconds. Either side may be a UNIX socket, a TCP or vsock port, or standard
/// input and output.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("max_connections", max_connections_help),
    mut_arg("drain", drain_help),
    mut_arg("idle_timeout", idle_timeout_help),
    mut_arg("once", once_help),
)]
pub(crate) struct RelayArgs {
    /// Where clients connect: a path, @name, fd:N or systemd:NAME, with seqpacket: or
    /// dgram: in front if it is not a stream; tcp:HOST:PORT, vsock:CID:PORT, or -
    #[arg(value_name = "LISTEN", value_parser = listened())]
    pub(crate) listen_address: TypedRelayAddress,

    /// The server that each client is joined to: an address of the same kinds
    #[arg(value_name = "TARGET", required = true, value_parser = target())]
    pub(crate) targets: Vec<TypedRelayAddress>,

    /// What to do with file descriptors that are passed (SCM_RIGHTS) [default: pass
    /// between UNIX sockets, otherwise refuse]
    #[arg(long, value_enum)]
    fds: Option<FdPolicyName>,

    /// Whose user and groups the target sees (SO_PEERCRED, SO_PEERGROUPS)
    #[arg(long, value_enum, default_value_t = CredentialsName::Relay)]
    pub(crate) credentials: CredentialsName,

    /// The longest record or datagram
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_record: usize,

    /// Once one side has half-closed: abort the connection if the other one sends
    /// nothing for D [default: no limit]
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) half_close_timeout: Option<Duration>,

    /// Give up on a target that does not take the connection within D (its backlog
    /// stays full, or a TCP host does not respond). With dgram: drop a datagram whose receiver has no room for D
    #[arg(short = 'w', long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    /// Wait up to D for a target to appear
    #[arg(long, value_name = "D", default_value = "0s", hide_default_value = true, value_parser = duration)]
    pub(crate) wait: Duration,

    /// End when nobody has been connected for D; clients in the backlog are served
    /// first. For socket activation: the next client starts the relay again
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) exit_idle: Option<Duration>,

    #[command(flatten)]
    pub(crate) listen: ListenOptions,

    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// What to do with file descriptors that are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FdPolicyName {
    /// Pass them on with the byte or record that they came with
    Pass,
    /// Have the kernel refuse them: sending one fails with EPERM. Before Linux 6.16
    /// the connection ends with an error when one comes
    Refuse,
    /// Close them
    Drop,
}

/// Whose credentials a target sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CredentialsName {
    /// The relay's
    Relay,
    /// The client's; takes root
    Client,
}

impl RelayArgs {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let targets = self.targets.iter_mut();
        let addresses = [&mut self.listen_address].into_iter().chain(targets);
        let addresses = addresses.filter_map(TypedRelayAddress::unresolved);
        self.listen.unresolved().chain(addresses).collect()
    }

    /// What was asked for, if anything was.
    pub(crate) fn fds(&self) -> Option<FdPolicy> {
        self.fds.map(|name| match name {
            FdPolicyName::Pass => FdPolicy::Pass,
            FdPolicyName::Refuse => FdPolicy::Refuse,
            FdPolicyName::Drop => FdPolicy::Drop,
        })
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new()
            .connect_timeout(self.connect_timeout)
            .wait_for(self.wait)
    }
}

// What the options of the listening side mean here.

fn max_connections_help(option: Arg) -> Arg {
    option.help("Connection limit: join at most N clients at a time; others wait in the backlog [default: no limit]. With dgram: keep a socket for at most N senders, the last ones [default: 1024]")
}

fn drain_help(option: Arg) -> Arg {
    option.help("Drain timeout: how long a graceful shutdown waits for connections to end")
}

fn idle_timeout_help(option: Arg) -> Arg {
    option.help("Close a connection on which no byte goes either way for D [default: no limit]. With dgram: forget a sender that has neither sent nor got a datagram for D [default: 60s]")
}

fn once_help(option: Arg) -> Arg {
    option.help("Serve one connection and end; once it is accepted, all others are refused")
}
