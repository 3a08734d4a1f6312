//! The command `sockeye`: serve and call UNIX sockets.

mod args;
mod cmd;
mod exit;
mod output;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse() {
        Ok(command) => exit::finish(cmd::run(command)),
        Err(error) => exit::usage(&error),
    }
}
