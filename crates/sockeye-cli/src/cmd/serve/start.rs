//! What a runtime needs to start.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::io::dup;

/// Gets the file descriptors that tokio begins with, and a thread where one will be needed, and gives
/// them back: tokio panics where it cannot have them.
pub(super) fn can_start(needs_thread: bool) -> io::Result<()> {
    // For signals it makes such a pair, after three descriptors for epoll(7).
    let (one, _other) = UnixStream::pair()?;
    let _three = [dup(&one)?, dup(&one)?, dup(&one)?];
    if needs_thread {
        let thread = thread::Builder::new().spawn(|| ())?;
        let _ = thread.join();
    }
    Ok(())
}
