//! The goals, beside the results.

use crate::spread::Spread;
use std::fmt;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AtLeast(bound) => write!(f, "at least {}", figure(bound)),
            Self::AtMost(bound) => write!(f, "at most {}", figure(bound)),
        }
    }
}

/// One figure of the rounds, and its bound.
pub(crate) struct Goal {
    what: String,
    /// `None` where a contestant is missing.
    found: Option<Spread>,
    bound: Bound,
    /// Counts as well.
    instead: Option<(Spread, Bound)>,
}

impl Goal {
    pub(crate) fn new(what: impl Into<String>, found: Option<Spread>, bound: Bound) -> Self {
        Self {
            what: what.into(),
            found,
            bound,
            instead: None,
        }
    }

    /// Where the load generator is the limit, rates say little about servers: processor time for a message, to theirs,
    /// may meet the goal instead.
    pub(crate) fn or_processor_time(mut self, found: Option<Spread>, bound: Bound) -> Self {
        self.instead = found.map(|found| (found, bound));
        self
    }

    fn verdict(&self) -> String {
        let Some(found) = &self.found else {
            return "not measured".to_owned();
        };
        if self.bound.holds(found.median()) {
            return "met".to_owned();
        }
        match &self.instead {
            Some((found, bound)) if bound.holds(found.median()) => {
                format!("met by cpu, {}", figure(found.median()))
            }
            _ => "NOT MET".to_owned(),
        }
    }

    /// A row of a Markdown table of four columns. `title` is the benchmark.
    pub(crate) fn row(&self, title: &str, remark: &str) -> String {
        let Self { what, bound, .. } = self;
        let found = self.found.as_ref().map_or_else(
            || "–".to_owned(),
            |found| {
                let [median, min, max] = [found.median(), found.min(), found.max()].map(figure);
                format!("{median} ({min}–{max})")
            },
        );
        let verdict = self.verdict();
        format!("| {title}: {what} | {found} | {bound} | {verdict}{remark} |\n")
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goal: {}, {}: ", self.what, self.bound)?;
        if let Some(found) = &self.found {
            write!(f, "{}, ", figure(found.median()))?;
        }
        f.write_str(&self.verdict())
    }
}

/// Rounded to the significant digits.
fn figure(figure: f64) -> String {
    let decimals = match figure.abs() {
        ..0.1 => 3,
        ..100.0 => 2,
        _ => 0,
    };
    format!("{figure:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(found: f64, bound: Bound) -> Goal {
        Goal::new("rate to go", Spread::new(vec![found]), bound)
    }

    #[test]
    fn a_goal_is_met_on_its_own_side() {
        let met = |found, bound| goal(found, bound).verdict();
        assert_eq!(met(1.15, Bound::AtLeast(1.15)), "met");
        assert_eq!(met(1.14, Bound::AtLeast(1.15)), "NOT MET");
        assert_eq!(met(1024.0, Bound::AtMost(1024.0)), "met");
        assert_eq!(met(1025.0, Bound::AtMost(1024.0)), "NOT MET");
        let missing = Goal::new("", None, Bound::AtLeast(1.0));
        assert_eq!(missing.verdict(), "not measured");
    }

    #[test]
    fn processor_time_may_stand_in() {
        let goal = |cpu| {
            let cpu = Spread::new(vec![cpu]);
            goal(0.9, Bound::AtLeast(1.0)).or_processor_time(cpu, Bound::AtMost(0.87))
        };
        let text = goal(0.8).to_string();
        assert_eq!(
            text,
            "goal: rate to go, at least 1.00: 0.90, met by cpu, 0.80"
        );
        assert_eq!(goal(0.9).verdict(), "NOT MET");
    }

    #[test]
    fn a_row_has_four_cells() {
        let found = Spread::new(vec![1.0, 2.0, 4000.0]);
        let row = Goal::new("to go", found, Bound::AtMost(1.5)).row("echo", "; disturbed");
        assert_eq!(
            row,
            "| echo: to go | 2.00 (1.00–4000) | at most 1.50 | NOT MET; disturbed |\n"
        );
    }
}
