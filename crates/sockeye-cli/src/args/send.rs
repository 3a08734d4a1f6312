use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use sockeye::{Address, Connector};

use super::values::{Framing, address, duration, size};

const EXAMPLES: &str = "\
Examples:
  sockeye send /tmp/app.sock Hello UNIX socket!
  sockeye send /tmp/app.sock < request.txt
  sockeye send --wait 5s --timeout 30s /tmp/app.sock status
  sockeye send /tmp/app.sock -- -v is sent, not an option";

/// Send a message and print the answer
///
/// The words are joined with spaces and end in a newline. Without words, or
/// with -, standard input is sent as it is. Then the connection is half-closed
/// and what comes back is printed until the server closes it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) target: Target,

    /// The message; standard input without one
    #[arg(value_name = "MESSAGE")]
    words: Vec<OsString>,

    /// Give up when the answer is not complete D after connecting
    #[arg(short, long, value_name = "D", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Leave the connection open for sending; the server must end it
    #[arg(long)]
    pub(crate) no_shutdown: bool,

    /// With length, send the message as one frame (its length as u32,
    /// big-endian, in front) and print the payloads of the answers
    #[arg(long, value_enum, default_value_t = Framing::Line)]
    pub(crate) framing: Framing,

    /// With --framing length, the longest message to send or take
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,
}

impl Send {
    /// The words joined with spaces; `None` for standard input.
    pub(crate) fn message(&self) -> Option<OsString> {
        match &*self.words {
            [] => None,
            [one] if one == "-" => None,
            words => Some(words.join(std::ffi::OsStr::new(" "))),
        }
    }
}

/// Whom to connect to, and how long to try.
#[derive(Args)]
pub(crate) struct Target {
    /// Where the server listens: a path, @name or fd:N
    #[arg(value_parser = address())]
    pub(crate) address: Address,

    /// Give up when a server's backlog stays full for D
    #[arg(short = 'w', long, value_name = "D", default_value = "10s", value_parser = duration)]
    connect_timeout: Duration,

    /// Wait up to D for a server to appear
    #[arg(long, value_name = "D", default_value = "0s", hide_default_value = true, value_parser = duration)]
    wait: Duration,
}

impl Target {
    pub(crate) fn connector(&self) -> Connector {
        Connector::new()
            .connect_timeout(self.connect_timeout)
            .wait_for(self.wait)
    }
}
