//! [`ReceivedFds`]: descriptors that came with a message.

use std::os::fd::OwnedFd;

use sockeye::ancillary::{close_in_background, unclosed};
use tracing::warn;

/// They are closed on another thread, whichever way they are dropped.
#[derive(Default)]
pub(super) struct ReceivedFds(pub(super) Vec<OwnedFd>);

impl Drop for ReceivedFds {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            close_in_background(self.0.drain(..));
        }
    }
}

/// At the end, when the address has been given up.
pub(super) fn tell_unclosed() {
    let left = unclosed();
    if left > 0 {
        warn!(
            "{left} file descriptors that clients have passed are still being closed; the address is free, but this process may take a while to end"
        );
    }
}
