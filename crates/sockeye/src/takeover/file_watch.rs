//! [`FileWatch`]: notices when a file may have lost its name (inotify(7)).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::socket;

pub(super) struct FileWatch(AsyncFd<OwnedFd>);

impl FileWatch {
    /// Watches the file itself, not its directory, where others may come and go.
    ///
    /// # Errors
    /// As inotify_init1(2) and inotify_add_watch(2).
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // The number of links is an attribute; DELETE_SELF comes with the end of the socket only.
        let wanted = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DONT_FOLLOW;
        add_watch(&events, file, wanted)?;
        Ok(Self(socket::register(events, Interest::READABLE)?))
    }

    /// Waits until its names, its mode or its owner have changed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn has_changed(&self) {
        let mut buffer = [0; 1024];
        loop {
            let Ok(mut ready) = self.0.readable().await else {
                // The runtime ends.
                return std::future::pending().await;
            };
            let mut has_some = false;
            while rustix::io::read(&self.0, &mut buffer).is_ok() {
                has_some = true;
            }
            ready.clear_ready();
            if has_some {
                return;
            }
        }
    }
}
