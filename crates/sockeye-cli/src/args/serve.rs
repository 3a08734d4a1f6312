use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgGroup, Args};
use sockeye::Kind;

use super::address::{TypedAddress, bound};
use super::listen::{ListenOptions, LogOptions};
use super::unresolved::Unresolved;
use super::values::{FramingName, VariableNames, duration, size, timeout};
use crate::exit::{Exit, failure};

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
  sockeye serve --http /usr/share/doc/base-passwd /tmp/doc.sock

A PROGRAM has the connection as its standard input and output, inherits standard
error, and gets no other file descriptor. With dgram: its standard input is the
datagram, and its answer is what it has printed when it ends (1 MiB at most);
processes that it leaves running are not waited for. Its environment is that of
s6-ipcserver: PROTO=IPC, the peer credentials IPCREMOTEEUID, IPCREMOTEEGID and
IPCREMOTEPID (unset where they are unknown), IPCREMOTEPATH, IPCLOCALPATH, and
IPCCONNNUM, the number of connections of that user. With --inetd-listener it
gets the listening socket as file descriptor 3 (sd_listen_fds(3)).

Graceful shutdown: SIGINT, SIGTERM and SIGHUP begin a drain. New connections are
refused, and requests that have begun are answered, for at most the time of
--drain. A second signal aborts: the process group of each PROGRAM gets SIGTERM,
then SIGKILL as soon as the PROGRAM has ended, or after two seconds. If a PROGRAM
leaves processes running that have the connection open, the drain waits for them
too; after it they go on, and the connection counts as aborted. So does one that
no PROGRAM could be started for. With --inetd-listener the PROGRAM gets SIGTERM
at once; clients that are still in the backlog when it has ended, and connections
that it had open if the signal killed it, are counted (exit 7). With --takeover,
SIGHUP restarts instead: the same command is started again and takes over.

Exit 7: the server has lost something that a client had sent, or the answer to
it, and the report counts the connection as aborted. That is so for all that a
drain aborts, and at any time for a connection that is closed by --max-buffered
or by the limit of passed file descriptors. A client that breaks a rule
(--max-message, a timeout), or ends in the middle of its own message, does not
count.

Socket activation: systemd:NAME is the socket that systemd passes with
FileDescriptorName=NAME; where it passes only one, systemd: is enough.
Type=notify and WatchdogSec= work with any address.";

/// Listen on an address and answer messages
///
/// The socket file has exactly the mode of --mode. A stale file, left by a server
/// that has died, is replaced; the file of a running server never is. When the
/// server ends it removes the file. For each message a line is printed, followed
/// by an indented one if file descriptors came with it; or a PROGRAM is started
/// for each connection.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("answer"),
    mut_arg("max_connections", max_connections_help),
    mut_arg("first_byte_timeout", first_byte_timeout_help),
    mut_arg("drain", drain_help),
)]
pub(crate) struct Serve {
    /// Where to listen: a path, @name, fd:N or systemd:NAME, with seqpacket: or
    /// dgram: in front if it is not a stream
    #[arg(value_parser = bound())]
    pub(crate) address: TypedAddress,

    /// Answer each message with TEXT and a newline; a record or datagram with TEXT
    /// alone
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Message received successfully",
        group = "answer"
    )]
    reply: String,

    /// Send back all that comes, and print nothing
    #[arg(long, group = "answer")]
    echo: bool,

    /// Send no answers
    #[arg(long, group = "answer")]
    discard: bool,

    /// Serve the files of DIR over HTTP, read-only
    ///
    /// GET and HEAD, HTTP/1.1 and HTTP/2, ranges, ETag and Last-Modified. A directory
    /// shows its index.html; there are no listings. Symbolic links are followed if
    /// they lead to something in DIR: nothing outside of it can be reached.
    /// DIR is opened once: if another directory is moved to its name, that is served
    /// after a restart. The line of a request says who has sent it, then the request,
    /// the status and the bytes of the body.
    ///
    /// The extension of a file says which Content-Type it gets; without one that is
    /// known it is application/octet-stream. Files whose names begin with a dot are
    /// served too. The report counts connections, not requests.
    #[arg(
        long,
        value_name = "DIR",
        group = "answer",
        conflicts_with_all = ["framing", "max_message", "max_buffered", "message_timeout", "fds", "inetd_listener"],
    )]
    pub(crate) http: Option<PathBuf>,

    /// Print a JSON object for each message, instead of a line
    #[arg(long, conflicts_with = "echo")]
    pub(crate) json: bool,

    /// How messages on a stream are told apart: by newlines (line), one for each
    /// read (raw), or by a length in front of each (length: u32, big-endian)
    /// [default: line]. A record or datagram is always one message
    #[arg(long, value_enum)]
    framing: Option<FramingName>,

    /// The longest message. A connection that sends a longer one is closed; a
    /// longer datagram is dropped
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,

    /// Bound the memory of all connections together: at most SIZE bytes of incomplete
    /// messages, and of answers that clients have not read. Over it, the connection
    /// that holds most is closed [default: 64MiB, or four times --max-message]
    ///
    /// The same bound holds once more for messages that wait to be printed. A message
    /// is answered after it is printed: if nobody reads standard output, and the
    /// kernel's buffer of the pipe is full, no connection gets an answer.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_buffered: Option<usize>,

    /// Close a connection whose message is not complete D after its first byte
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) message_timeout: Option<Duration>,

    /// Let clients pass file descriptors (SCM_RIGHTS): they are shown and closed, or
    /// a PROGRAM receives them itself. Without --fds the kernel refuses them: sending
    /// one fails with EPERM (so does BARRIER=1 of systemd-notify)
    ///
    /// With --echo they are closed without being shown, and so are those of a
    /// datagram for a PROGRAM. A separate thread closes them, since a client can make
    /// close(2) take as long as it wishes. While too many wait to be closed (an eighth
    /// of the limit of open files, at least 253 and at most 1024), no more are
    /// received. Before Linux 6.16 the kernel cannot refuse file descriptors: without
    /// --fds they are received, and closed in the same way.
    #[arg(long)]
    pub(crate) fds: bool,

    /// Poll a connection for its next message for at most D (as in 50us) before
    /// sleeping. That saves a wake-up and costs processor time; it is not done where
    /// messages come later than D, or while other connections have work
    #[arg(long, value_name = "D", default_value = "0", hide_default_value = true, value_parser = duration)]
    pub(crate) busy_poll: Duration,

    /// Start PROGRAM when the first client connects and pass it the listening socket.
    /// When the PROGRAM has ended, start it again for the next client
    #[arg(long, requires = "program", conflicts_with_all = [
        "takeover", "once", "env", "max_connections", "max_per_uid", "allow_users", "allow_groups",
        "first_byte_timeout",
    ])]
    pub(crate) inetd_listener: bool,

    /// The names of a PROGRAM's environment variables: those of s6-ipcserver (ipc:
    /// IPCREMOTEEUID and others) or those of unixserver (ucspi: UNIXREMOTEEUID and
    /// others)
    #[arg(long, value_enum, default_value_t = VariableNames::Ipc, requires = "program")]
    pub(crate) env: VariableNames,

    #[command(flatten)]
    pub(crate) listen: ListenOptions,

    #[command(flatten)]
    pub(crate) log: LogOptions,

    /// Start PROGRAM for each connection (with dgram: for each datagram), instead of
    /// answering messages
    #[arg(last = true, value_name = "PROGRAM", conflicts_with_all = [
        "reply", "echo", "discard", "framing", "max_message", "max_buffered", "message_timeout",
        "idle_timeout", "json", "busy_poll", "http",
    ])]
    pub(crate) program: Vec<OsString>,
}

/// What is sent back for a message.
pub(crate) enum ReplyMode {
    Text(String),
    Echo,
    Discard,
}

impl Serve {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let address = Unresolved::Address(&mut self.address);
        self.listen.unresolved().chain([address]).collect()
    }

    pub(crate) fn reply_mode(&self) -> ReplyMode {
        match (self.echo, self.discard) {
            (true, _) => ReplyMode::Echo,
            (_, true) => ReplyMode::Discard,
            _ => ReplyMode::Text(self.reply.clone()),
        }
    }

    pub(crate) fn framing(&self) -> FramingName {
        self.framing.unwrap_or(FramingName::Line)
    }

    /// How many bytes all incomplete messages may have together.
    pub(crate) fn max_buffered(&self) -> usize {
        let few = self.max_message.saturating_mul(4);
        self.max_buffered.unwrap_or(few.max(64 << 20))
    }

    /// --max-buffered must have room for one message.
    pub(crate) fn check_sizes(&self) -> anyhow::Result<()> {
        match self.max_buffered {
            Some(all) if all < self.max_message => Err(failure(
                Exit::Usage,
                format!(
                    "cannot listen on {} with --max-buffered {all}: one message may have {} bytes (--max-message); raise --max-buffered, or lower --max-message",
                    self.address, self.max_message
                ),
            )),
            _ => Ok(()),
        }
    }

    /// An option that does not apply to this kind of socket is wrong usage.
    pub(crate) fn check_kind(&self, kind: Kind) -> anyhow::Result<()> {
        let unused = [
            ("--http", self.http.is_some() && kind != Kind::Stream),
            ("--framing", self.framing.is_some() && kind != Kind::Stream),
            ("--takeover", self.listen.takeover && kind == Kind::Datagram),
            (
                "--busy-poll",
                !self.busy_poll.is_zero() && kind == Kind::Datagram,
            ),
            (
                "--max-connections",
                self.listen.max_connections.is_some()
                    && kind == Kind::Datagram
                    && self.program.is_empty(),
            ),
            (
                "--max-per-uid",
                self.listen.max_per_uid.is_some() && kind == Kind::Datagram,
            ),
            (
                "--message-timeout",
                self.message_timeout.is_some() && (kind != Kind::Stream || self.echo),
            ),
            (
                "--first-byte-timeout",
                self.listen.first_byte_timeout.is_some() && kind == Kind::Datagram,
            ),
            (
                "--idle-timeout",
                self.listen.idle_timeout.is_some() && kind == Kind::Datagram,
            ),
        ];
        match unused.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                let why = match kind {
                    _ if *option == "--http" => "HTTP needs a stream",
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
}

// What the options of the listening side mean here.

fn max_connections_help(option: Arg) -> Arg {
    option.help(
        "Connection limit: serve at most N at a time; others wait in the backlog. With dgram: and a PROGRAM: run it for at most N datagrams at a time [default: no limit; 64 with dgram: and a PROGRAM]",
    )
}

fn first_byte_timeout_help(option: Arg) -> Arg {
    option.help(
        "Close a connection that has sent nothing D after it was accepted. With a PROGRAM: close one for which the PROGRAM could not be started in that time. With --http: also close one that has not sent the whole head of a request in that time [default: no limit; 10s with a PROGRAM; 30s with --http]",
    )
}

fn drain_help(option: Arg) -> Arg {
    let help = "Drain timeout: how long a graceful shutdown waits for requests in flight";
    let rest = "With dgram: also how long an answer waits for room in the queue of its receiver, at any time (at least 1s). At most 256 answers wait, 128 of them for one receiver; more are dropped, and the report counts them.";
    option.help(help).long_help(format!("{help}\n\n{rest}"))
}
