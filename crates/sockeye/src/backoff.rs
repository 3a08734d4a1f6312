//! [`Backoff`]: exponential back-off.

use std::time::Duration;

/// Pauses between attempts, each twice as long as the one before, up to a bound.
///
/// It has no jitter and does not sleep itself, so that it serves blocking and async code alike. To begin
/// again after a success, make a new one.
///
/// ```
/// use std::time::Duration;
///
/// use sockeye::Backoff;
///
/// # fn attempt(number: u32) -> Result<u32, u32> { if number < 3 { Err(number) } else { Ok(number) } }
/// let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(1));
/// let mut attempts = 0;
/// while attempt(attempts).is_err() {
///     attempts += 1;
///     std::thread::sleep(backoff.next_pause());
/// }
/// assert_eq!(backoff.next_pause(), Duration::from_millis(8));
/// ```
#[doc(alias("exponential", "retry"))]
#[derive(Debug, Clone)]
pub struct Backoff {
    pause: Duration,
    most: Duration,
}

impl Backoff {
    /// The first pause is `first`, none is longer than `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { pause: first, most }
    }

    /// How long to wait before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.pause.min(self.most);
        self.pause = pause.saturating_mul(2);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(7));
        let pauses = [(); 4].map(|()| backoff.next_pause().as_millis());
        assert_eq!(pauses, [2, 4, 7, 7]);
    }

    #[test]
    fn a_pause_without_a_bound_stays_in_range() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!([(); 2].map(|()| backoff.next_pause()), [Duration::MAX; 2]);
    }
}
