//! [`Arrivals`]: descriptors on the way to their message.

use std::os::fd::OwnedFd;

use crate::ancillary::{MAX_DESCRIPTORS, RecvError, close_in_background};

/// Descriptors on the way to the message that they belong to. Those that never get there are closed
/// elsewhere.
#[derive(Default)]
pub(super) struct Arrivals {
    /// What each read has brought, and up to where in the buffer that read went.
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

    /// What the decoder has left is the beginning of one message.
    pub(super) fn wait(&self) -> Result<(), RecvError> {
        within_limit(self.waiting.iter().map(|(_, some)| some.len()).sum())
    }
}

fn within_limit(descriptors: usize) -> Result<(), RecvError> {
    match descriptors <= MAX_DESCRIPTORS {
        true => Ok(()),
        false => Err(RecvError::TooManyDescriptors),
    }
}
