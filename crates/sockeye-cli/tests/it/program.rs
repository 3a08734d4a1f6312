//! `sockeye serve ADDRESS -- PROGRAM`: what a program gets, how it is started and how it ends.

mod datagrams;
mod descriptors;
mod drain;
mod ending;
mod environment;
mod interop;
mod limits;
mod on_demand;
mod start;

use crate::support::{Place, Server};

/// `sockeye serve OPTIONS app.sock -- PROGRAM`, up and listening.
#[track_caller]
fn serving(place: &Place, options: &[&str], program: &[&str]) -> Server {
    let mut command = Server::command(options);
    command.arg(place.socket()).arg("--").args(program);
    Server::started_by(&mut command, place.socket())
}

/// The same with a shell script as the program.
#[track_caller]
fn script(place: &Place, options: &[&str], script: &str) -> Server {
    serving(place, options, &["/bin/sh", "-c", script])
}
