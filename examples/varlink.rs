//! Varlink with zlink: a method whose answer bears a file descriptor.
//!
//! ```console
//! $ cargo run -p sockeye-examples --example varlink -- /tmp/files.sock /var/log
//! $ varlinkctl introspect /tmp/files.sock org.example.Files
//! $ varlinkctl call /tmp/files.sock org.example.Files.Open '{"name": "dpkg.log"}'
//! ```
#![allow(missing_docs, reason = "zlink's macro makes public types")]

#[path = "../crates/sockeye/examples/common/mod.rs"]
mod common;
#[path = "varlink/socket.rs"]
mod socket;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde::Serialize;
use sockeye::{Claim, Connection, Listener, Server};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use zlink::{ReadyListener, ReplyError, introspect, service};

use socket::VarlinkSocket;

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let mut args = common::Arguments::parse("usage: varlink ADDRESS DIRECTORY [--drain D]")?;
    let [directory] = &args.rest()?[..] else {
        return Err(args.usage_error().into());
    };
    let directory = Arc::new(File::open(directory)?);
    let (shutdown, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    let server = server.max_connections(100).max_per_uid(10);
    let server = server.idle_timeout(Duration::from_secs(60));

    // The future of a zlink server is not `Send`, so each runs in a task of this thread. The connection
    // counts for the server until that ends.
    let (accepted, mut connections) = mpsc::channel::<Connection>(1);
    let tasks = LocalSet::new();
    tasks.spawn_local(async move {
        while let Some(connection) = connections.recv().await {
            let listener = ReadyListener::new(VarlinkSocket(connection));
            let files = Files(Arc::clone(&directory));
            spawn_local(zlink::Server::new(listener, files).run());
        }
    });
    let handler = move |connection| {
        let accepted = accepted.clone();
        async move { accepted.send(connection).await }
    };
    let served = tasks.run_until(server.run(listener, handler, shutdown));
    common::finish(&served.await?)
}

struct Files(Arc<File>);

/// The index of its fd among those that came with the answer.
#[derive(Debug, Serialize, introspect::Type)]
struct Opened {
    fd: u32,
}

#[derive(Debug, ReplyError, introspect::ReplyError)]
#[zlink(interface = "org.example.Files")]
enum FilesError {
    NotOpened { reason: String },
}

#[service(interface = "org.example.Files", vendor = "Example", product = "Files")]
impl Files {
    #[zlink(return_fds)]
    async fn open(&self, name: String) -> (Result<Opened, FilesError>, Vec<OwnedFd>) {
        // Neither `..` nor a link leads out of the directory, and a FIFO does not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match openat2(&self.0, &name, flags, Mode::empty(), within) {
            Ok(file) => (Ok(Opened { fd: 0 }), vec![file]),
            Err(error) => {
                let reason = error.to_string();
                (Err(FilesError::NotOpened { reason }), Vec::new())
            }
        }
    }
}
