//! The same figure from each round.

/// Never empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// `None` where there was no round.
    pub(crate) fn new(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// `ours / theirs` in each round, so that noise of a whole round cancels out.
    pub(crate) fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs);
        Self::new(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0[0]
    }

    pub(crate) fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_needs_no_order() {
        let odd = Spread::new(vec![9.0, 1.0, 5.0]).unwrap();
        assert_eq!((odd.min(), odd.median(), odd.max()), (1.0, 5.0, 9.0));
        let even = Spread::new(vec![4.0, 1.0, 2.0, 9.0]).unwrap();
        assert_eq!(even.median(), 3.0);
        assert_eq!(Spread::new(Vec::new()), None);
    }

    #[test]
    fn ratios_pair_the_rounds() {
        // A slow second round for both is not a difference between them.
        let ratios = Spread::of_ratios(&[200.0, 20.0], &[100.0, 10.0]).unwrap();
        assert_eq!((ratios.min(), ratios.max()), (2.0, 2.0));
    }
}
