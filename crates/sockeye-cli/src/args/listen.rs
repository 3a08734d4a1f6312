//! [`ListenOptions`]: the options of the listening side, which several subcommands have.

use std::os::fd::RawFd;
use std::time::Duration;

use clap::{ArgAction, Args};
use sockeye::IfExists;
use sockeye::claim::ClaimOptions;

use super::id::{TypedId, group, user};
use super::unresolved::Unresolved;
use super::values::{Owner, Policy, count, duration, fd, mode, owner, timeout, whole};
use crate::exit::{Exit, failure};

#[derive(Args)]
pub(crate) struct ListenOptions {
    /// Permission bits of the socket file, whatever the umask [default: 0600]
    #[arg(short, long, value_name = "OCTAL", value_parser = mode)]
    mode: Option<u32>,

    /// Owner and group of the socket file: USER, USER:GROUP or :GROUP
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner)]
    owner: Option<Owner>,

    /// What to do about a stale socket file (one that no server listens on)
    #[arg(long, value_enum, default_value_t = Policy::ReplaceStale)]
    if_exists: Policy,

    /// Backlog: how many connections may wait to be accepted (the kernel allows
    /// net.core.somaxconn at most)
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = whole::<u32>)]
    pub(crate) backlog: u32,

    /// Connection limit: serve at most N at a time; others wait in the backlog
    /// [default: no limit]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_connections: Option<usize>,

    /// Per-user limit: serve at most N connections of one user at a time; further
    /// ones are closed. All users without a mapping in the server's user namespace
    /// count as one
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) max_per_uid: Option<usize>,

    /// Serve this user only (by the peer credentials); may be repeated, and combined
    /// with --allow-group. The connections of all others are closed without an
    /// answer. The server's own user is always allowed; a user without a mapping in
    /// the server's user namespace never is
    #[arg(long = "allow-user", value_name = "U", value_parser = user)]
    pub(crate) allow_users: Vec<TypedId>,

    /// Serve this group only: processes that have it as their group or as a
    /// supplementary one (with dgram: a supplementary group is known only while the
    /// sender runs); may be repeated, and combined with --allow-user
    #[arg(long = "allow-group", value_name = "G", value_parser = group)]
    pub(crate) allow_groups: Vec<TypedId>,

    /// Close a connection that has sent nothing D after it was accepted
    /// [default: no limit]
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) first_byte_timeout: Option<Duration>,

    /// Close a connection on which no byte is sent or received for D
    #[arg(long, value_name = "D", value_parser = timeout)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Drain timeout: how long a graceful shutdown waits for connections to end
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// Serve one connection, or one datagram, and end; refuse all others
    #[arg(long, conflicts_with = "takeover")]
    pub(crate) once: bool,

    /// Take over the listening socket of a running server that was started with
    /// --takeover too, if there is one, and let a successor take over later
    ///
    /// The socket itself is handed over, so that no client is refused; the
    /// predecessor drains, for at most the time of its --drain, and ends. The socket
    /// file gets the --mode and --owner of the successor. Only the same user, or
    /// root, may take over, and root only from servers of root, of the user of
    /// --owner, and of --takeover-from.
    #[arg(long)]
    pub(crate) takeover: bool,

    /// Take over from a server of this user too; may be repeated. That server may
    /// keep the listening socket and accept some connections itself, whose clients
    /// believe that they talk to the new server
    #[arg(long = "takeover-from", value_name = "USER", requires = "takeover", value_parser = user)]
    pub(crate) takeover_from: Vec<TypedId>,

    /// Started by SIGHUP: --ready-fd was written long ago, and the soft limit of open
    /// files was this one
    #[arg(long, hide = true, requires = "takeover")]
    pub(crate) successor: Option<u64>,

    /// End when this process, our parent, ends
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) end_with_parent: Option<i32>,

    /// Write a newline to file descriptor N once clients can connect
    #[arg(long, value_name = "N", value_parser = fd)]
    ready_fd: Option<RawFd>,
}

/// How much a server logs.
#[derive(Args)]
pub(crate) struct LogOptions {
    /// Log errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log more to standard error; -vv logs still more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl ListenOptions {
    pub(super) fn unresolved(&mut self) -> impl Iterator<Item = Unresolved<'_>> {
        let owner = self.owner.as_mut();
        let (user, group) = owner.map_or((None, None), |owner| {
            (owner.user.as_mut(), owner.group.as_mut())
        });
        let user = user.map(|id| Unresolved::User("--owner", id));
        let group = group.map(|id| Unresolved::Group("--owner", id));
        let allowed = self.allow_users.iter_mut();
        let allowed = allowed.map(|id| Unresolved::User("--allow-user", id));
        let groups = self.allow_groups.iter_mut();
        let groups = groups.map(|id| Unresolved::Group("--allow-group", id));
        let predecessors = self.takeover_from.iter_mut();
        let predecessors = predecessors.map(|id| Unresolved::User("--takeover-from", id));
        let ids = user.into_iter().chain(group).chain(allowed).chain(groups);
        ids.chain(predecessors)
    }

    /// The fd to write to once clients can connect. A successor is not to do so again.
    pub(crate) fn ready_fd(&self) -> Option<RawFd> {
        self.ready_fd.filter(|_| self.successor.is_none())
    }

    pub(crate) fn claim(&self) -> ClaimOptions {
        let owner = self.owner.as_ref();
        let user = owner.and_then(|owner| owner.user.as_ref()?.number());
        let group = owner.and_then(|owner| owner.group.as_ref()?.number());
        sockeye::Claim::options()
            .mode(self.mode.unwrap_or(0o600))
            .owner(user, group)
            .backlog(self.backlog)
            .if_exists(match self.if_exists {
                Policy::ReplaceStale => IfExists::ReplaceStale,
                Policy::Fail => IfExists::Fail,
            })
    }

    /// An option that applies to a socket file only is wrong usage where the address has none.
    pub(crate) fn check_file(&self, address: &str, has_file: bool) -> anyhow::Result<()> {
        match self.file_option() {
            Some(option) if !has_file => Err(failure(
                Exit::Usage,
                format!(
                    "cannot listen on {address}: it has no file that {option} could apply to; give a path, or omit {option}"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn file_option(&self) -> Option<&'static str> {
        if self.takeover {
            return Some("--takeover");
        }
        if self.mode.is_some() {
            return Some("--mode");
        }
        self.owner.as_ref().map(|_| "--owner")
    }
}
