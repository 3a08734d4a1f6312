use clap::Args;

use super::send::Target;

const EXAMPLES: &str = "\
Examples:
  sockeye connect /tmp/app.sock
  printf 'one\\ntwo\\n' | sockeye connect @name
  sockeye connect --wait 5s /tmp/app.sock";

/// Join standard input and output to a socket
///
/// The end of standard input half-closes the connection; the command ends when
/// both directions have, or when the server closes the connection.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) target: Target,
}
