//! The command `sockeye`: serve and call UNIX sockets.

mod args;
mod cmd;
mod escape;
mod exit;
mod lookup;
mod output;
mod stdio;
mod transport;

use std::process::ExitCode;

use clap::error::ErrorKind;
use rustix::process::{Pid, Signal, getpid};
use signal_hook::low_level::emulate_default_handler;

use exit::Exit;

fn main() -> ExitCode {
    match args::parse(stdio::terminal::size().map(|(columns, _)| columns)) {
        Ok(command) => finish(cmd::run(command)),
        Err(error) => usage(&error),
    }
}

/// Prints the error, if there is one, and returns the exit code.
fn finish(result: anyhow::Result<Exit>) -> ExitCode {
    stdio::log::finish();
    let error = match result {
        Ok(exit) => return ExitCode::from(exit as u8),
        Err(error) => error,
    };
    if let Some(signal) = exit::signal_of(&error) {
        return end_by(signal);
    }
    ExitCode::from(complain_of(&error) as u8)
}

/// Prints the error, and returns its exit code.
fn complain_of(error: &anyhow::Error) -> Exit {
    let exit = exit::code_of(error);
    match exit {
        Exit::Usage => stdio::complain(&format!("{error}; see {}", help())),
        _ => stdio::complain(&error.to_string()),
    }
    exit
}

/// The command that prints the help of the subcommand.
fn help() -> String {
    args::help_for(std::env::args_os().nth(1).as_deref())
}

/// Prints help on standard output, or one line about wrong arguments on standard error.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            if let Err(error) = error.print() {
                return finish(Err(stdio::unprinted(&error)));
            }
        }
        _ => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = first.split_whitespace().collect();
            let line = words.join(" ");
            let line = line.strip_prefix("error: ").unwrap_or(&line);
            stdio::complain(&format!("{line}; see {}", help()));
        }
    }
    ExitCode::from(error.exit_code() as u8)
}

/// Dies by `signal`, since a shell ends its loop or script only then; the shell shows 128 + its number.
fn end_by(signal: Signal) -> ExitCode {
    // To the first process of a pid namespace the kernel sends no signal that has no handler.
    if getpid() != Pid::INIT {
        let _ = emulate_default_handler(signal.as_raw());
    }
    ExitCode::from(128 + signal.as_raw() as u8)
}
