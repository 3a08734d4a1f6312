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
  1  links loop, or I/O fails
  3  nobody listens, or no socket of this kind
  4  the file may be a second view of a living server's
  5  not permitted
  6  the backlog or queue is full, or the server is stopped
  7  unknown who listens, which --connect settles; or a file system does not answer";

/// Explain why a connect works, or does not
///
/// Resolves the path as the kernel does and checks each condition: directories,
/// links, permissions, the kind of socket, who listens and whether it accepts.
/// Ends with a verdict and advice. Nothing is changed, and nothing is
/// connected to without --connect.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Why {
    /// Where the server should listen: a path or @name
    #[arg(value_parser = connectable())]
    pub(crate) address: TypedAddress,

    /// Judge the permissions of USER (a name or a number) and of its groups
    #[arg(short, long, value_name = "USER", value_parser = user)]
    pub(crate) user: Option<TypedId>,

    /// Judge the permissions of process PID: its groups, capabilities, root
    /// directory and namespaces
    #[arg(short, long, value_name = "PID", value_parser = pid, conflicts_with = "user")]
    pub(crate) pid: Option<i32>,

    /// Connect once, as yourself, and close: the server sees an empty connection
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
