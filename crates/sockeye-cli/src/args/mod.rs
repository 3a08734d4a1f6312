//! The command line of each subcommand, parsed into plain values before any system call. What must be
//! looked up ([`Unresolved`]) is looked up in `cmd`, before the subcommand runs.
//!
//! To add a subcommand, see "Where do I" in ARCHITECTURE.md.

mod address;
mod bench;
mod connect;
mod demo;
mod endpoint;
mod http_call;
mod id;
mod listen;
mod ls;
mod relay;
mod relay_address;
mod replay;
mod send;
mod serve;
mod tap;
mod tap_filter;
mod unresolved;
pub(crate) mod values;
mod why;

use std::ffi::OsStr;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use address::TypedAddress;
pub(crate) use bench::Bench;
pub(crate) use connect::Connect;
pub(crate) use demo::Demo;
pub(crate) use endpoint::Endpoint;
pub(crate) use http_call::HttpCall;
pub(crate) use id::TypedId;
pub(crate) use listen::ListenOptions;
pub(crate) use ls::{ListedAddress, Ls, Netns};
pub(crate) use relay::{CredentialsName, RelayArgs};
pub(crate) use relay_address::TypedRelayAddress;
pub(crate) use replay::{ReplayArgs, Speed};
pub(crate) use send::{ConnectTarget, Send};
pub(crate) use serve::{ReplyMode, Serve};
pub(crate) use tap::{ColorWhen, DisplayMode, RecordTarget, TapArgs, TapCredentials};
pub(crate) use tap_filter::TapFilter;
pub(crate) use unresolved::Unresolved;
pub(crate) use values::{FramingName, VariableNames};
pub(crate) use why::Why;

use crate::output::wrap::flow;

/// Longer lines are hard to read.
const WIDEST_HELP: usize = 80;

const ADDRESSES: &str = "\
Addresses: [kind:]name
  /run/app.sock, app.sock   a path (./@file for one that begins with @)
  @name                     an abstract name; \\xNN is a byte, \\\\ a backslash
  fd:N                      an inherited file descriptor
  systemd:NAME              a socket that systemd passes (socket activation);
                            systemd: where it passes only one
  \"/a b\\xff\"                a path in quotes, with escapes: sockeye prints one
                            so if it has blanks, a backslash or bytes that are
                            not text (quote it once more for the shell). A path
                            without quotes is taken as it is; its escapes are
                            undone only if nothing is at that path
Kinds: stream (the default; also unix), seqpacket, dgram (datagram)

Exit status:
  0  done
  1  failed on the way
  2  wrong usage
  3  nothing at the address, or no server
  4  address in use; with serve also: the path is not a socket
  5  not permitted
  6  timed out
  7  done, but incomplete: something was aborted, permissions hid a part, or a file system did not answer
  130  ended by Ctrl-C (SIGINT), as a shell shows it
  141  ended because nobody reads the output (SIGPIPE), as a shell shows it

Examples:
  sockeye serve /tmp/app.sock
  sockeye send /tmp/app.sock Hello UNIX socket!
  sockeye connect /tmp/app.sock
  sockeye relay /tmp/front.sock /tmp/app.sock
  sockeye tap /tmp/app.sock
  sockeye replay --check app.pcapng /tmp/app.sock
  sockeye ls /tmp/app.sock
  sockeye why /tmp/app.sock
  sockeye bench
  sockeye demo";

/// UNIX sockets done right: serve, call, relay and inspect them
#[derive(Parser)]
#[command(name = "sockeye", version, after_help = ADDRESSES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Send(Send),
    Connect(Connect),
    Relay(RelayArgs),
    Tap(TapArgs),
    Replay(ReplayArgs),
    Ls(Ls),
    Why(Why),
    Bench(Bench),
    Demo(Demo),
    /// Echo on TCP loopback, for bench
    #[command(hide = true)]
    TcpEcho(TcpEcho),
}

#[derive(Args)]
pub(crate) struct TcpEcho {
    /// End when this process, our parent, ends
    #[arg(long, value_name = "PID")]
    pub(crate) end_with_parent: Option<i32>,
}

impl Command {
    /// What must be looked up before the subcommand runs.
    pub(crate) fn unresolved(&mut self) -> Vec<Unresolved<'_>> {
        match self {
            Self::Serve(args) => args.unresolved(),
            Self::Send(args) => args.target.unresolved(),
            Self::Connect(args) => args.target.unresolved(),
            Self::Relay(args) => args.unresolved(),
            Self::Tap(args) => args.unresolved(),
            Self::Replay(args) => args.unresolved(),
            Self::Ls(args) => args.unresolved(),
            Self::Why(args) => args.unresolved(),
            Self::Bench(args) => args.unresolved(),
            Self::Demo(_) | Self::TcpEcho(_) => Vec::new(),
        }
    }
}

/// Parses the command line. Help is wrapped to `columns`, those of the terminal if there is one.
pub(crate) fn parse(columns: Option<usize>) -> Result<Command, clap::Error> {
    let width = columns.map_or(WIDEST_HELP, |columns| columns.min(WIDEST_HELP));
    let matches = wrapped(Cli::command(), width).try_get_matches()?;
    Cli::from_arg_matches(&matches).map(|cli| cli.command)
}

/// Wraps the text after the options too; clap keeps its line breaks.
fn wrapped(command: clap::Command, width: usize) -> clap::Command {
    let flowed = command
        .get_after_help()
        .map(|text| flow(&text.to_string(), width));
    let command = match flowed {
        Some(text) => command.after_help(text),
        None => command,
    };
    // clap itself takes a terminal without lines for none.
    let command = command.term_width(width);
    command.mut_subcommands(|subcommand| wrapped(subcommand, width))
}

/// The command that prints the help of the subcommand of this name, or of all where there is none.
pub(crate) fn help_for(name: Option<&OsStr>) -> String {
    let cli = Cli::command();
    let mut subcommands = cli.get_subcommands().filter(|found| !found.is_hide_set());
    match subcommands.find(|found| Some(OsStr::new(found.get_name())) == name) {
        Some(found) => format!("sockeye {} --help", found.get_name()),
        None => "sockeye --help".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
