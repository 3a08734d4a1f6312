//! [`Arrivals`]: received fds, assigned to messages.

use std::os::fd::OwnedFd;

use crate::ancillary::{MAX_DESCRIPTORS, RecvError, close_in_background};

/// Received fds, until their message is complete and taken. What is left is closed in the background.
#[derive(Default)]
pub(super) struct Arrivals {
    /// The fds of each read, and the end of that read in the buffer.
    pub(super) waiting: Vec<(usize, Vec<OwnedFd>)>,
    pub(super) of_message: Vec<OwnedFd>,
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        let waiting = self.waiting.drain(..).flat_map(|(_, some)| some);
        close_in_background(waiting.chain(self.of_message.drain(..)));
    }
}

impl Arrivals {
    /// The decoder has taken a message of `size` bytes from the front of the buffer.
    pub(super) fn take_message(&mut self, size: usize) -> Result<(), RecvError> {
        for (end, _) in &mut self.waiting {
            *end = end.saturating_sub(size);
        }
        close_in_background(self.of_message.drain(..));
        let arrived = self.waiting.extract_if(.., |(end, _)| *end == 0);
        self.of_message = arrived.flat_map(|(_, descriptors)| descriptors).collect();
        within_limit(self.of_message.len())
    }

    pub(super) fn count(&self) -> usize {
        let waiting = self.waiting.iter().map(|(_, some)| some.len());
        waiting.sum::<usize>() + self.of_message.len()
    }

    /// Checks the fds of the incomplete message that the decoder has left.
    pub(super) fn check_incomplete(&self) -> Result<(), RecvError> {
        within_limit(self.waiting.iter().map(|(_, some)| some.len()).sum())
    }
}

fn within_limit(descriptors: usize) -> Result<(), RecvError> {
    if descriptors <= MAX_DESCRIPTORS {
        Ok(())
    } else {
        Err(RecvError::TooManyDescriptors)
    }
}
