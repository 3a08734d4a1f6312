//! How long round trips took.

use std::fmt;
use std::time::Duration;

/// In microseconds.
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Percentiles {
    /// `None` where there was no round trip.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let at = |percent: usize| times[last * percent / 100].as_secs_f64() * 1e6;
        Some(Self {
            p50: at(50),
            p99: at(99),
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} us, p99 {:.2} us", self.p50, self.p99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_no_order() {
        let times = (0..=100).rev().map(Duration::from_micros).collect();
        let percentiles = Percentiles::of(times).unwrap();
        assert_eq!((percentiles.p50, percentiles.p99), (50.0, 99.0));
        assert!(Percentiles::of(Vec::new()).is_none());
    }
}
