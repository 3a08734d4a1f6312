use clap::Args;

/// Show all subcommands at work in a private directory, in a few seconds
///
/// Starts servers and clients of its own, explains what they do, and leaves
/// nothing behind. The directory is made where TMPDIR says, else in /tmp.
#[derive(Args)]
pub(crate) struct Demo {}
