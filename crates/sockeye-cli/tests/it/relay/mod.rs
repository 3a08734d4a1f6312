//! `sockeye relay`, between servers and clients that know nothing of it.

mod activation;
mod credentials;
mod datagrams;
mod deaths;
mod drain;
mod failures;
mod fds;
mod many_fds;
mod pairs;
mod port;
mod programs;
mod stdio;
mod targets;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, Server, sockeye};

/// `sockeye relay OPTIONS`, the addresses still missing.
fn relay(options: &[&str]) -> Command {
    let mut command = sockeye();
    command.arg("relay").args(options);
    command
}

/// A server at `app.sock`, and a relay in front of it at `front.sock`.
struct Relayed {
    place: Place,
    server: Server,
    relay: Server,
}

impl Relayed {
    /// The relay of OPTIONS before the server that echoes.
    #[track_caller]
    fn start(options: &[&str]) -> Self {
        let place = Place::new();
        let server = Server::start(place.socket(), &["--echo"]);
        let front = place.at("front.sock");
        let relay = start(options, &front, &[place.socket()]);
        Self {
            place,
            server,
            relay,
        }
    }

    fn front(&self) -> PathBuf {
        self.place.at("front.sock")
    }
}

/// `sockeye relay OPTIONS FRONT TARGETS`, up and listening.
#[track_caller]
fn start(options: &[&str], front: &Path, targets: &[impl AsRef<Path>]) -> Server {
    let mut command = relay(options);
    command.arg(front);
    command.args(targets.iter().map(AsRef::as_ref));
    Server::started_by(&mut command, front)
}
