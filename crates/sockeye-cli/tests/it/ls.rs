//! `sockeye ls`: which sockets exist, whose they are, and their peers.

mod connections;
mod elsewhere;
mod renamed;
mod rows;
mod select;
mod stale;
pub(crate) mod terminal;
mod unseen;

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Command, id};

use serde_json::Value;

use crate::support::{Finished, Place, run, sockeye};

/// `sockeye ls ARGUMENTS`
fn ls(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = sockeye();
    command.arg("ls").args(arguments);
    command
}

/// The objects of `sockeye ls --json ARGUMENTS`, which succeeds.
#[track_caller]
fn json(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Vec<Value> {
    let listed = run(ls(["--json"]).args(arguments.into_iter().map(|a| a.as_ref().to_owned())));
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    objects(&listed)
}

#[track_caller]
fn objects(listed: &Finished) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("an object a line");
    listed.text().lines().map(parse).collect()
}

/// The inode number of a socket of ours.
fn inode(socket: impl std::os::fd::AsFd) -> u64 {
    rustix::fs::fstat(socket).expect("open").st_ino
}

fn fd(socket: &impl std::os::fd::AsRawFd) -> i64 {
    socket.as_raw_fd().into()
}

/// The descriptors that this process has, of `holders`. Another test may be forking right now, and
/// its child has them all until it executes.
#[track_caller]
fn our_fds(holders: &Value) -> Vec<i64> {
    let holders = holders.as_array().expect("known").iter();
    let ours = holders.filter(|holder| holder["pid"] == id());
    ours.map(|holder| {
        assert_eq!(holder["uid"], rustix::process::geteuid().as_raw());
        assert!(holder["comm"].is_string(), "{holder}");
        holder["fd"].as_i64().expect("a number")
    })
    .collect()
}

/// Whether this process holds it, with this descriptor only.
#[track_caller]
fn is_ours(holders: &Value, descriptor: i64) {
    assert_eq!(our_fds(holders), [descriptor], "{holders}");
}

/// A listener on an abstract name.
fn listen_abstract(name: &[u8]) -> UnixListener {
    let address = SocketAddr::from_abstract_name(name).expect("short");
    UnixListener::bind_addr(&address).expect("nobody else has it")
}

/// A listener in a place of its own, and its path as text.
fn listening() -> (Place, UnixListener, String) {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let path = place.socket().to_str().expect("plain").to_owned();
    (place, listener, path)
}

/// A connection and what the listener made of it.
fn connected(listener: &UnixListener) -> (UnixStream, UnixStream) {
    let address = listener.local_addr().expect("bound");
    let client = UnixStream::connect_addr(&address).expect("it listens");
    let (accepted, _) = listener.accept().expect("one waits");
    (client, accepted)
}
