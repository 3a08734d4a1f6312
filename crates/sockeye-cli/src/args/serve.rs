use std::ffi::OsString;
use std::os::fd::RawFd;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args};
use sockeye::{Address, IfExists, Kind};

use super::address::bound;
use super::values::{
    FramingName, Owner, Policy, Tradition, count, duration, fd, mode, owner, size, timeout, whole,
};
use crate::exit::{Exit, failure};
use crate::lookup::ids::{gid, uid};

const EXAMPLES: &str = "\
Examples:
  sockeye serve /tmp/app.sock
  sockeye serve --mode 0660 --owner :users /tmp/app.sock
  sockeye serve --echo @echo
  sockeye serve seqpacket:/tmp/records.sock
  sockeye serve --json --framing length --reply ok @frames
  systemd-socket-activate -l /tmp/app.sock sockeye serve systemd:
  sockeye serve --max-connections 40 /tmp/sort.sock -- sort -r
  sockeye serve --inetd-listener /tmp/app.sock -- sockeye serve systemd:

A PROGRAM has the connection as its standard input and output, shares standard
error with the server, and gets no other descriptor; of a datagram that is its
standard input, and what it has printed when it ends is the answer, of 1 MiB at
most: what it leaves running by then is not waited for. It is told, as by
s6-ipcserver: PROTO=IPC, IPCREMOTEEUID, IPCREMOTEEGID, IPCREMOTEPID (each unset
where it is unknown), IPCREMOTEPATH, IPCLOCALPATH and IPCCONNNUM, the
connections of that user. A listener of --inetd-listener is descriptor 3
(sd_listen_fds(3)).

SIGINT, SIGTERM and SIGHUP drain: no newcomer is let in, requests that have
begun are answered, for at most the time of --drain. A second signal cuts them
off; programs get SIGTERM then, with all of their process group, and SIGKILL
when they have ended, or two seconds later. Processes that a program has left
running when it ended, with the connection open, have the time of the drain too;
then they go on, and their connections count as aborted, as does whatever no
program could be started for. With --inetd-listener the program gets SIGTERM at
once; clients that still wait for it when it has ended, and connections that it
had open when it died of that signal, are counted (exit 7). With --takeover,
SIGHUP restarts instead: the command is started anew with the same arguments and
takes over.

Exit 7 means that something which clients had sent, or an answer to it, was lost
by the server; the report counts their connections as aborted. That is so for
whatever the drain cuts off, and at any time for a connection that --max-buffered
or its like for descriptors closes. A client that breaks a rule (--max-message, a
timeout) is not counted, nor is one that breaks off its own message.

Under systemd, systemd:NAME is the socket passed with FileDescriptorName=NAME,
systemd: the only one. Type=notify and WatchdogSec= work at any address.";

/// Listen on an address and answer messages
///
/// The socket file is made with exactly the mode asked for, a file that a dead
/// server left is replaced, a live server is never displaced, and at the end
/// the file is removed. One line is printed for each message, and an indented
/// one for descriptors that came with it; or a program is started for each
/// connection.
#[derive(Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("answer"))]
pub(crate) struct Serve {
    /// Where to listen: a path, @name, fd:N or systemd:NAME; seqpacket: or dgram:
    /// in front for another kind than a stream
    #[arg(value_parser = bound())]
    pub(crate) address: Address,

    /// Answer each message with TEXT and a newline, a record with TEXT alone
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Message received successfully",
        group = "answer"
    )]
    reply: String,

    /// Send bytes back as they come, and print nothing
    #[arg(long, group = "answer")]
    echo: bool,

    /// Answer nothing
    #[arg(long, group = "answer")]
    discard: bool,

    /// Where a message ends: at a newline, with each read, or after a length
    /// (u32, big-endian, in front of it) [default: line]; a record is a message
    #[arg(long, value_enum)]
    framing: Option<FramingName>,

    /// Refuse a longer message: its connection is closed, a datagram dropped
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,

    /// Hold at most so many bytes of all messages together that are not
    /// complete, and of answers that wait to be taken: over it, the connection
    /// that holds most is closed; and as many of lines that wait to be printed
    /// [default: 64MiB, or four times --max-message]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_buffered: Option<usize>,

    /// Permission bits of the socket file, whatever the umask [default: 0600]
    #[arg(short, long, value_name = "OCTAL", value_parser = mode)]
    mode: Option<u32>,

    /// Owner and group of the socket file: USER, USER:GROUP or :GROUP
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner)]
    owner: Option<Owner>,

    /// What to do about a socket file that nobody listens on
    #[arg(long, value_enum, default_value_t = Policy::ReplaceStale)]
    if_exists: Policy,

    /// How many connections may wait to be accepted (the kernel's own limit
    /// is net.core.somaxconn)
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = whole::<u32>)]
    pub(crate) backlog: u32,

    /// Serve at most N connections at a time; others wait in the backlog. With
    /// dgram: and a PROGRAM, run at most N at a time [default there: 64]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_connections: Option<usize>,

    /// Serve at most N connections of one user at a time; others are closed.
    /// Users without a mapping in our user namespace count as one
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_per_uid: Option<usize>,

    /// Serve processes of this user only, and those of --allow-group; others
    /// are closed and told nothing. Our own user is always allowed, one
    /// without a mapping in our user namespace never
    #[arg(long = "allow-user", value_name = "U", value_parser = uid)]
    pub(crate) allow_users: Vec<u32>,

    /// Serve processes that are in this group, also as a supplementary one; of
    /// the sender of a datagram that is known as long as it runs
    #[arg(long = "allow-group", value_name = "G", value_parser = gid)]
    pub(crate) allow_groups: Vec<u32>,

    /// Close a connection that has sent nothing for D since it was accepted;
    /// with a PROGRAM, one that it could not be started for (10s if not given)
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) first_byte_timeout: Option<Duration>,

    /// Close a connection whose message is not complete D after its first byte
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) message_timeout: Option<Duration>,

    /// Close a connection on which nothing came or went for D
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Take the file descriptors that clients pass, show them and close them. A
    /// PROGRAM receives them itself. With --echo, and those of a datagram for a
    /// PROGRAM, they are closed unshown. Without it the kernel refuses them:
    /// sending one fails with EPERM (as systemd-notify's BARRIER=1 does)
    ///
    /// They are closed on a thread of its own, since that can take as long as the
    /// client wishes. While too many are still to be closed (an eighth of the limit
    /// of open files, 253 at least and 1024 at most) no more are let in. Before
    /// Linux 6.16 the kernel cannot refuse descriptors: without --fds they are
    /// closed in the same way.
    #[arg(long)]
    pub(crate) fds: bool,

    /// Before sleeping, poll a connection for at most D (as in 50us) for its next
    /// message. That saves waking up, and costs processor time: it is given up
    /// where messages come later, or where other connections have work
    #[arg(long, value_name = "D", default_value = "0", hide_default_value = true, value_parser = duration)]
    pub(crate) busy_poll: Duration,

    /// How long to wait for requests in flight at shutdown; datagrams: also how
    /// long an answer waits for its receiver at any time, a second at least. At
    /// most 256 wait, 128 for one receiver; more are dropped and counted
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// Serve one connection, or one datagram, and end: whoever else comes is
    /// refused
    #[arg(long, conflicts_with_all = ["takeover", "inetd_listener"])]
    pub(crate) once: bool,

    /// Take over from a live server that was started with --takeover too, if
    /// there is one, and let a successor take over in its turn
    ///
    /// The listening socket itself is handed over, so that no client is refused;
    /// the old server answers what it has begun, for at most the time of its
    /// --drain, and ends. The socket file gets the --mode and --owner of the new
    /// one. Only the same user, or root, may take over, and root only from servers
    /// of root, of the user of --owner, and of --takeover-from.
    #[arg(long)]
    pub(crate) takeover: bool,

    /// Take over from a server of this user too. It may keep the listening socket
    /// and accept some of the connections, whose clients believe that they talk
    /// to us
    #[arg(long = "takeover-from", value_name = "USER", requires = "takeover", value_parser = uid)]
    pub(crate) takeover_from: Vec<u32>,

    /// Started by SIGHUP: --ready-fd was served long ago, and the soft limit of
    /// descriptors was this one
    #[arg(long, hide = true, requires = "takeover")]
    pub(crate) successor: Option<u64>,

    /// End when this process, which has started us, ends
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) end_with_parent: Option<i32>,

    /// Write a newline to descriptor N once clients can connect
    #[arg(long, value_name = "N", value_parser = fd)]
    pub(crate) ready_fd: Option<RawFd>,

    /// Start PROGRAM once, at the first connection, with the listening socket
    /// itself, and again when it has ended and another one comes
    #[arg(long, requires = "program", conflicts_with_all = [
        "takeover", "env", "max_connections", "max_per_uid", "allow_users", "allow_groups",
        "first_byte_timeout",
    ])]
    pub(crate) inetd_listener: bool,

    /// In whose words a program is told of its client: ipc as s6-ipcserver
    /// does, ucspi as unixserver (UNIXREMOTEEUID and the like)
    #[arg(long, value_enum, default_value_t = Tradition::Ipc, requires = "program")]
    pub(crate) env: Tradition,

    /// Print one JSON object a message
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but errors on standard error
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more on standard error; twice for still more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Start this for each connection, instead of answering messages
    #[arg(last = true, value_name = "PROGRAM", conflicts_with_all = [
        "reply", "echo", "discard", "framing", "max_message", "max_buffered", "message_timeout",
        "idle_timeout", "json", "busy_poll",
    ])]
    pub(crate) program: Vec<OsString>,
}

/// What a message is answered with.
pub(crate) enum AnswerMode {
    Reply(String),
    Echo,
    Discard,
}

impl Serve {
    pub(crate) fn answer(&self) -> AnswerMode {
        match (self.echo, self.discard) {
            (true, _) => AnswerMode::Echo,
            (_, true) => AnswerMode::Discard,
            _ => AnswerMode::Reply(self.reply.clone()),
        }
    }

    pub(crate) fn framing(&self) -> FramingName {
        self.framing.unwrap_or(FramingName::Line)
    }

    /// What all unfinished messages may take together.
    pub(crate) fn max_buffered(&self) -> usize {
        let few = self.max_message.saturating_mul(4);
        self.max_buffered.unwrap_or(few.max(64 << 20))
    }

    /// The least of what --max-buffered may be: a message alone has to have room.
    pub(crate) fn check_sizes(&self) -> anyhow::Result<()> {
        match self.max_buffered {
            Some(all) if all < self.max_message => Err(failure(
                Exit::Usage,
                format!(
                    "cannot listen on {} with --max-buffered {all}: a message alone may have {} bytes (--max-message); raise the one, or lower the other",
                    self.address, self.max_message
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Options that this kind of socket has no use for are wrong usage.
    pub(crate) fn check_kind(&self, kind: Kind) -> anyhow::Result<()> {
        let unused = [
            ("--framing", self.framing.is_some() && kind != Kind::Stream),
            ("--takeover", self.takeover && kind == Kind::Datagram),
            (
                "--busy-poll",
                !self.busy_poll.is_zero() && kind == Kind::Datagram,
            ),
            (
                "--max-connections",
                self.max_connections.is_some() && kind == Kind::Datagram && self.program.is_empty(),
            ),
            (
                "--max-per-uid",
                self.max_per_uid.is_some() && kind == Kind::Datagram,
            ),
            (
                "--message-timeout",
                self.message_timeout.is_some() && (kind != Kind::Stream || self.echo),
            ),
            (
                "--first-byte-timeout",
                self.first_byte_timeout.is_some() && kind == Kind::Datagram,
            ),
            (
                "--idle-timeout",
                self.idle_timeout.is_some() && kind == Kind::Datagram,
            ),
        ];
        match unused.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                let why = match kind {
                    Kind::Stream => "--echo has no messages",
                    Kind::Datagram => "datagrams come without a connection",
                    _ => "a record is a message",
                };
                let address = &self.address;
                Err(failure(
                    Exit::Usage,
                    format!(
                        "cannot listen on {} with {option}: {why}; omit {option}",
                        address.quoted()
                    ),
                ))
            }
        }
    }

    pub(crate) fn claim(&self) -> sockeye::claim::ClaimOptions {
        let owner = self.owner.unwrap_or_default();
        sockeye::Claim::options()
            .mode(self.mode.unwrap_or(0o600))
            .owner(owner.uid, owner.gid)
            .backlog(self.backlog)
            .take_descriptors(self.fds)
            .if_exists(match self.if_exists {
                Policy::ReplaceStale => IfExists::ReplaceStale,
                Policy::Fail => IfExists::Fail,
            })
    }

    /// The first option given that only a socket file can honour.
    pub(crate) fn file_option(&self) -> Option<&'static str> {
        if self.takeover {
            return Some("--takeover");
        }
        if self.mode.is_some() {
            return Some("--mode");
        }
        self.owner.map(|_| "--owner")
    }
}
