//! The results of a comparison, of each contestant and round.

use crate::contestants::Missing;
use crate::spread::Spread;

/// The results of one contestant, one from each round.
pub(crate) struct ContestantResults<T> {
    pub(crate) name: &'static str,
    pub(crate) results: Vec<T>,
    /// Cores that others kept busy meanwhile, one figure from each round.
    pub(crate) noise: Vec<f64>,
}

impl<T> ContestantResults<T> {
    /// One figure of each result.
    pub(crate) fn figures(&self, figure: impl Fn(&T) -> f64) -> Vec<f64> {
        self.results.iter().map(figure).collect()
    }

    pub(crate) fn median(&self, figure: impl Fn(&T) -> f64) -> Option<f64> {
        Spread::new(self.figures(figure)).map(|series| series.median())
    }
}

/// The results of all contestants, and which are missing.
pub(crate) struct Comparison<T> {
    pub(crate) entries: Vec<ContestantResults<T>>,
    pub(crate) missing: Vec<Missing>,
}

impl<T> Comparison<T> {
    /// A comparison without results.
    pub(crate) fn without(what: &str, reason: &anyhow::Error) -> Self {
        Self {
            entries: Vec::new(),
            missing: vec![Missing::new(what, format!("{reason:#}"))],
        }
    }

    /// One figure of one entry; `None` where it is missing.
    pub(crate) fn spread(&self, name: &str, figure: impl Fn(&T) -> f64) -> Option<Spread> {
        Spread::new(self.find(name)?.figures(figure))
    }

    /// `ours` to `theirs`, round by round; `None` where one of them is missing.
    pub(crate) fn ratios(
        &self,
        ours: &str,
        theirs: &str,
        figure: impl Fn(&T) -> f64,
    ) -> Option<Spread> {
        let (ours, theirs) = (self.find(ours)?, self.find(theirs)?);
        Spread::of_ratios(&ours.figures(&figure), &theirs.figures(&figure))
    }

    /// Cores that others kept busy in the worst turn of each round.
    pub(crate) fn noise(&self) -> Vec<f64> {
        let rounds = self.entries.first().map_or(0, |entry| entry.noise.len());
        let worst = |round| {
            let turns = self.entries.iter().map(|entry| entry.noise[round]);
            turns.fold(0.0, f64::max)
        };
        (0..rounds).map(worst).collect()
    }

    fn find(&self, name: &str) -> Option<&ContestantResults<T>> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}
