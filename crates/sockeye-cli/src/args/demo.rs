use clap::Args;

/// Show the main job in seven steps, in about a second
///
/// Starts servers and clients in a private directory (under TMPDIR, else /tmp),
/// explains what they do, and leaves nothing behind.
#[derive(Args)]
pub(crate) struct Demo {}
