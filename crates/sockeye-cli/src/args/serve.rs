use std::os::fd::RawFd;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args};
use sockeye::{Address, IfExists};

use super::values::{Framing, Owner, Policy, address, count, duration, mode, owner, size};

const EXAMPLES: &str = "\
Examples:
  sockeye serve /tmp/app.sock
  sockeye serve --mode 0660 --owner :users /tmp/app.sock
  sockeye serve --echo @echo
  sockeye serve --json --framing length --reply ok /tmp/app.sock

SIGINT, SIGTERM and SIGHUP drain: no newcomer is let in, requests that have
begun are answered, for at most the time of --drain. A second signal cuts them
off. With --takeover, SIGHUP restarts instead: the command is started anew with
the same arguments and takes over.";

/// Listen on an address and answer messages
///
/// The socket file is made with exactly the mode asked for, a file that a dead
/// server left is replaced, a live server is never displaced, and at the end
/// the file is removed. One line is printed for each message.
#[derive(Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("answer"))]
pub(crate) struct Serve {
    /// Where to listen: a path, @name or fd:N
    #[arg(value_parser = address())]
    pub(crate) address: Address,

    /// Answer each message with TEXT and a newline
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
    /// (u32, big-endian, in front of it)
    #[arg(long, value_enum, default_value_t = Framing::Line)]
    pub(crate) framing: Framing,

    /// Close a connection whose message is longer
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,

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
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) backlog: u32,

    /// Serve at most N connections at a time; others wait in the backlog
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_connections: Option<usize>,

    /// Serve at most N connections of one user at a time; others are closed
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_per_uid: Option<usize>,

    /// Close a connection that has sent nothing for D since it was accepted
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) first_byte_timeout: Option<Duration>,

    /// Close a connection on which nothing came or went for D
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// How long to wait for requests in flight at shutdown
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// Take over from a live server that was started with --takeover too, if
    /// there is one, and let a successor take over in its turn
    ///
    /// The listening socket itself is handed over, so that no client is refused;
    /// the old server answers what it has begun, for at most the time of its
    /// --drain, and ends. The socket file gets the --mode and --owner of the new
    /// one. Only the same user, or root, may take over.
    #[arg(long)]
    pub(crate) takeover: bool,

    /// Started by SIGHUP: --ready-fd was served long ago
    #[arg(long, hide = true, requires = "takeover")]
    pub(crate) successor: bool,

    /// Write a newline to descriptor N once clients can connect
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(RawFd).range(0..))]
    pub(crate) ready_fd: Option<RawFd>,

    /// Print one JSON object a message
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but errors on standard error
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more on standard error; twice for still more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What a message is answered with.
pub(crate) enum Answer {
    Reply(String),
    Echo,
    Discard,
}

impl Serve {
    pub(crate) fn answer(&self) -> Answer {
        match (self.echo, self.discard) {
            (true, _) => Answer::Echo,
            (_, true) => Answer::Discard,
            _ => Answer::Reply(self.reply.clone()),
        }
    }

    pub(crate) fn claim(&self) -> sockeye::claim::ClaimOptions {
        let owner = self.owner.unwrap_or_default();
        sockeye::Claim::options()
            .mode(self.mode.unwrap_or(0o600))
            .owner(owner.uid, owner.gid)
            .backlog(self.backlog)
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
