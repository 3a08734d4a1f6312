use clap::Args;

/// Show the main job in six steps, in a private directory, in a second
///
/// Starts servers and clients of its own, explains what they do, and leaves
/// nothing behind. The directory is made where TMPDIR says, else in /tmp.
#[derive(Args)]
pub(crate) struct Demo {}
