//! The verbs.

mod bench;
mod connect;
mod demo;
mod exchange;
mod hung;
mod ls;
mod parent;
mod send;
mod send_buffer;
mod serve;
mod tcp_echo;
mod waiting;
mod why;

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
