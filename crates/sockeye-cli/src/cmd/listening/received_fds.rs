//! [`ReceivedFds`]: file descriptors that came with a message (`SCM_RIGHTS`).

use std::os::fd::OwnedFd;

use sockeye::ancillary::{close_in_background, unclosed};
use tracing::warn;

/// Dropped, they are closed on another thread: closing can take as long as the client wishes.
#[derive(Default)]
pub(crate) struct ReceivedFds(pub(crate) Vec<OwnedFd>);

impl Drop for ReceivedFds {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            close_in_background(self.0.drain(..));
        }
    }
}

/// To be called at the end, when the address is released.
pub(crate) fn tell_unclosed() {
    let left = unclosed();
    if left > 0 {
        warn!(
            "up to {left} file descriptors that clients have passed are still being closed; the address is free, but this process may take a while to end"
        );
    }
}
