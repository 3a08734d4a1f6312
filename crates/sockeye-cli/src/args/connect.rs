use clap::Args;

use super::send::ConnectTarget;
use super::values::size;

const EXAMPLES: &str = "\
Examples:
  sockeye connect /tmp/app.sock
  sockeye serve --echo @echo
  printf 'one\\ntwo\\n' | sockeye connect @echo
  sockeye connect --wait 5s /tmp/app.sock";

/// Join standard input and output to a socket
///
/// EOF on standard input half-closes the connection. The command ends when both
/// directions have ended, or when the server closes the connection. For
/// seqpacket: and dgram: addresses each line of input is sent as a record, and
/// each record that comes is printed as a line; with dgram: the command ends when
/// the input has ended and nothing has come for a second. If standard input and
/// output are the same UNIX socket (sockeye serve --fds A -- sockeye connect B),
/// the command is a relay: it passes on file descriptors and whole records in both
/// directions.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) target: ConnectTarget,

    /// Do not half-close the connection at EOF on standard input; then only the
    /// server ends it
    #[arg(long)]
    pub(crate) no_shutdown: bool,

    /// The longest record to send or receive
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,
}
