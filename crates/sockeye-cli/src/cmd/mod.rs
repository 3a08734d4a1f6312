//! The subcommands, and what several of them share.

mod bench;
mod connect;
mod demo;
mod descriptor_limit;
mod exchange;
mod hung;
mod ignored;
mod ls;
mod parent;
mod passed_files;
mod send;
mod send_buffer;
mod serve;
mod tcp_echo;
mod visibility;
mod waiting;
mod why;

use std::io::ErrorKind;
use std::path::Path;

use crate::args::Command;
use crate::exit::Exit;

pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Demo(_) => demo::run(),
        Command::TcpEcho(args) => tcp_echo::run(&args),
    }
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
