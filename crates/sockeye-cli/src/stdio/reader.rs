//! Whether somebody still reads what is written to a pipe, a socket or a terminal.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Completes when nobody reads any more what is written to `fd`, even if nothing is written; never for a
/// regular file.
///
/// Cancel safe.
pub(crate) async fn reader_gone(fd: OwnedFd) -> io::Result<()> {
    // A registration of its own, without readiness for writing. EPOLLERR and EPOLLHUP are reported all
    // the same.
    let fd = match watched(fd) {
        Ok(fd) => fd,
        // epoll_ctl(2): a file that does not support it
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return std::future::pending().await;
        }
        Err(error) => return Err(error),
    };
    loop {
        let mut ready = fd.ready(Interest::PRIORITY | Interest::ERROR).await?;
        let mut state = [PollFd::new(fd.get_ref(), PollFlags::empty())];
        if retry_on_intr(|| poll(&mut state, Some(&Timespec::default())))? > 0 {
            return Ok(());
        }
        ready.clear_ready();
    }
}

// The deprecated constructor is unsound for types whose descriptor is not their own; OwnedFd's is. Its
// successor is unsafe, and there is no unsafe code in this crate.
#[allow(deprecated)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::PRIORITY)
}
