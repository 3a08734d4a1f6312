//! [`Backoff`]: pauses between attempts, each twice as long as the one before, up to a bound.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    pause: Duration,
    most: Duration,
}

impl Backoff {
    /// The first pause is `first`, none is longer than `most`.
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { pause: first, most }
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.pause.min(self.most);
        self.pause = pause * 2;
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
}
