//! `sockeye tap`, in front of servers and clients that know nothing of it.

mod credentials;
mod display;
mod display_reader;
mod explained;
mod front;
mod killed;
mod recording;
mod servers;
mod usage;

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::support::{Place, Process, sockeye};

/// `sockeye tap OPTIONS PATH`.
fn tap(options: &[&str], path: &Path) -> Command {
    let mut command = sockeye();
    command.arg("tap").args(options).arg(path);
    command
}

/// A tap that stands in front of `path`.
#[track_caller]
fn started(options: &[&str], path: &Path) -> Process {
    let process = Process::spawn(&mut tap(options, path));
    process
        .stderr
        .line("`tapping`", |line| line.contains("tapping "));
    process
}

/// A server of this process that sends back what comes, at `app.sock`.
struct Echo {
    place: Place,
    /// Of its socket file.
    inode: u64,
}

impl Echo {
    fn start() -> Self {
        let place = Place::new();
        let inode = echo_at(&place.socket());
        Self { place, inode }
    }

    /// The inode of what is at the path.
    fn inode_now(&self) -> Option<u64> {
        let found = std::fs::symlink_metadata(self.place.socket());
        found.ok().map(|found| found.ino())
    }

    /// Whether the directory is as before a tap.
    fn is_restored(&self) -> bool {
        self.inode_now() == Some(self.inode) && self.place.names() == ["app.sock"]
    }
}

/// Serves at `path` until this process ends.
fn echo_at(path: &Path) -> u64 {
    let listener = UnixListener::bind(path).expect("a fresh path");
    let inode = std::fs::metadata(path).expect("bound").ino();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("it listens");
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    if client.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    inode
}

/// One exchange on a connection of its own.
fn ask(path: &Path, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut client = UnixStream::connect(path)?;
    client.write_all(message)?;
    client.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    Ok(answer)
}
