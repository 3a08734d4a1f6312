use clap::Args;

use super::address::{TypedAddress, connectable};
use super::id::{TypedId, user};
use super::unresolved::Unresolved;
use super::values::pid;

const EXAMPLES: &str = "\
Examples:
  sockeye why /tmp/app.sock
  sockeye why --user nobody /tmp/app.sock
  sockeye why --pid $$ /tmp/app.sock
  sockeye why --connect /tmp/app.sock
  sockeye why --json seqpacket:/tmp/records.sock

Exit status:
  0  a connect would succeed
  1  symbolic links form a loop, or the disk fails
  3  no server listens, or not on a socket of this kind
  4  unclear: the socket file may belong to a running server that has it on another file system (overlayfs, FUSE, a network file system)
  5  not permitted
  6  the backlog or datagram queue is full, or the server is stopped (SIGSTOP)
  7  unknown whether a server listens (--connect tries it), or a file system does not answer";

/// Explain why a connect works, or does not
///
/// Resolves the path as the kernel does and checks each condition: directories,
/// links, permissions, the kind of socket, who listens and whether it accepts.
/// The last lines are a verdict and advice. Nothing is changed, and no connection
/// is made without --connect.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Why {
    /// Where a server should listen: a path or @name, with seqpacket: or dgram: in
    /// front if it is not a stream
    #[arg(value_parser = connectable())]
    pub(crate) address: TypedAddress,

    /// Evaluate the permissions of USER (a name or a number) with its groups,
    /// instead of yours
    #[arg(short, long, value_name = "USER", value_parser = user)]
    pub(crate) user: Option<TypedId>,

    /// Evaluate the permissions of process PID: its groups, capabilities, root
    /// directory and namespaces
    #[arg(short, long, value_name = "PID", value_parser = pid, conflicts_with = "user")]
    pub(crate) pid: Option<i32>,

    /// Also connect once, as yourself, and close: the server sees a connection
    /// without data
    #[arg(short, long)]
    pub(crate) connect: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Why {
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        let user = self.user.as_mut();
        let user = user.map(|id| Unresolved::User("--user", id));
        let address = Unresolved::Address(&mut self.address);
        user.into_iter().chain([address]).collect()
    }
}
