//! [`Pause`]: until there is room for file descriptors again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::end::EndIo;
use crate::ancillary::SendError;
use crate::backoff::Backoff;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);
/// How long fds that are in flight may keep others from being sent.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between attempts. Nothing reports that there is room: neither for fds of this process nor
/// for those in flight.
pub(super) struct Pause {
    began: Instant,
    backoff: Backoff,
    sleep: Pin<Box<Sleep>>,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            backoff: Backoff::new(FIRST, LONGEST),
            sleep: Box::pin(sleep(Duration::ZERO)),
        }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.began.elapsed() > IN_FLIGHT_TIMEOUT
    }

    /// Makes the pause before the next attempt.
    pub(super) fn begin(&mut self) {
        let until = Instant::now() + self.backoff.next_pause();
        self.sleep.as_mut().reset(until);
    }

    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(())
    }
}

/// Whether a piece is sent again.
pub(super) fn retries(pause: &mut Option<Box<Pause>>, target: &EndIo, error: &SendError) -> bool {
    match error {
        SendError::TooLong { size, .. } => {
            let socket = target.as_socket();
            socket.is_some_and(|socket| socket.grow_send_buffer(*size))
        }
        SendError::Io(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
            let pause = pause.get_or_insert_with(|| Box::new(Pause::new()));
            pause.begin();
            !pause.is_too_long()
        }
        _ => false,
    }
}
