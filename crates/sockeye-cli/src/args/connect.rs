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
/// EOF on standard input half-closes the connection; the command ends when both
/// directions have ended, or when the server closes the connection. For
/// seqpacket: and dgram: addresses each line is a record, and each record that
/// comes is printed as a line; with dgram: the command ends when the input has
/// ended and nothing has come for a second. If standard input and output are
/// one UNIX socket, as under sockeye serve --fds ADDRESS -- sockeye connect
/// ADDRESS, file descriptors and records are passed on in both directions.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) target: ConnectTarget,

    /// Leave the connection open for sending at the end of standard input; the
    /// server must end it
    #[arg(long)]
    pub(crate) no_shutdown: bool,

    /// The longest record to send or take
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,
}
