//! The subcommands, and what several of them share.

mod bench;
mod connect;
mod demo;
mod descriptor_limit;
mod exchange;
mod hung;
mod ignored;
mod listening;
mod ls;
mod parent;
mod passed_files;
mod relay;
mod replay;
mod save_directory;
mod send;
mod send_buffer;
mod serve;
mod supervisor;
mod tap;
mod tcp_echo;
mod visibility;
mod waiting;
mod why;

use std::io::ErrorKind;
use std::path::Path;

use crate::args::{Command, Unresolved};
use crate::exit::{Exit, failure};
use crate::lookup::ids;

pub(crate) fn run(mut command: Command) -> anyhow::Result<Exit> {
    look_up(&mut command)?;
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Tap(args) => tap::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Demo(_) => demo::run(),
        Command::TcpEcho(args) => tcp_echo::run(&args),
    }
}

/// Looks up names of users and groups, and which reading of an address is a file.
fn look_up(command: &mut Command) -> anyhow::Result<()> {
    for argument in command.unresolved() {
        let (option, looked_up) = match argument {
            Unresolved::Address(address) => {
                address.choose_reading(|path| path.symlink_metadata().is_ok());
                continue;
            }
            Unresolved::User(option, user) => (option, user.look_up(ids::uid)),
            Unresolved::Group(option, group) => (option, group.look_up(ids::gid)),
        };
        looked_up.map_err(|error| {
            failure(
                Exit::Usage,
                format!("invalid value for '{option}': {error}"),
            )
        })?;
    }
    Ok(())
}

/// The first directory above `path` that we may not search (its execute bit).
fn impassable(path: &Path) -> Option<&Path> {
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    let denies = |directory: &&Path| {
        let inside = directory.join(".").metadata();
        inside.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    above.into_iter().rev().find(denies)
}
