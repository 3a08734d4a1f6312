//! Listens with the ids of the server, so that clients see those (`SO_PEERCRED`).

use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::io::Errno;
use rustix::net::listen;

use crate::relay::ClientCredentials;
use crate::sys::signal_mask;

/// As a server; the kernel allows net.core.somaxconn at most.
const BACKLOG: i32 = 4096;

/// Calls listen(2) with the ids of `server`, which takes `CAP_SETUID` and `CAP_SETGID`; otherwise with
/// our own.
pub(super) fn listen_as(socket: &OwnedFd, server: Option<&ClientCredentials>) -> Result<(), Errno> {
    let Some(server) = server.filter(|server| server.are_taken() != Ok(true)) else {
        return listen(socket, BACKLOG);
    };
    let fd = socket.as_fd();
    // The ids end with the thread.
    let listened = thread::scope(|scope| {
        let thread = thread::Builder::new().name("listening".to_owned());
        let listening = thread.spawn_scoped(scope, move || {
            signal_mask::block_all();
            server.take().is_ok() && listen(fd, BACKLOG).is_ok()
        });
        listening.is_ok_and(|thread| thread.join().unwrap_or(false))
    });
    if listened {
        return Ok(());
    }
    listen(socket, BACKLOG)
}
