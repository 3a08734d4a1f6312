//! Results as text, 80 columns wide.

use crate::comparison::{Comparison, ContestantResults};
use crate::contestants::Missing;
use crate::goal::Goal;
use crate::meter::RateSample;
use crate::spread::Spread;
use std::fmt;

/// Printed once, above the tables.
pub(crate) const LEGEND: &str = "\
median  of the rounds, the lowest and the highest of them beside it
ratio   of the first line to this one, both of the same round: the median of the
        rounds, min-max beside it; where the figure is a rate, over 1 means that
        the first is faster, and where it is a time or a cost, under 1
us      processor time of the server for one operation, in microseconds
gen     cores that the load generator kept busy
cpu     us of the first line to that of this one, as ratio
";

/// More than this from anything but the server and its load, and a round was disturbed.
const NOISE_CORES: f64 = 0.1;

/// With more than this, the load generator is the limit.
const LOAD_CORES: f64 = 0.95;

/// The results of a benchmark, and what they mean.
pub(crate) struct ResultsTable {
    pub(crate) title: String,
    lines: String,
    /// What the columns mean.
    note: &'static str,
    goals: Vec<Goal>,
    missing: Vec<Missing>,
    /// Cores that others kept busy in the worst turn of each round.
    noise: Vec<f64>,
}

/// A figure that is given as a median alone.
pub(crate) struct ResultColumn<'a, T> {
    pub(crate) head: &'static str,
    pub(crate) width: usize,
    pub(crate) decimals: usize,
    /// `None` leaves it empty.
    pub(crate) figure: &'a dyn Fn(&ContestantResults<T>) -> Option<f64>,
}

impl ResultsTable {
    /// Of one figure, called `head`, with ratios of the first entry's to all others'.
    pub(crate) fn new<T>(
        title: impl Into<String>,
        head: &str,
        decimals: usize,
        results: &Comparison<T>,
        figure: impl Fn(&T) -> f64,
        columns: &[ResultColumn<'_, T>],
    ) -> Self {
        let heads = columns.iter().map(|column| column.head.to_owned());
        let mut lines = row("", [head, "min-max", "ratio", "min-max"], columns, heads);
        for (index, entry) in results.entries.iter().enumerate() {
            let figures = Spread::new(entry.figures(&figure));
            let (median, range) = spread(figures, |figure| format!("{figure:.decimals$}"));
            let ratios = results.ratios(results.entries[0].name, entry.name, &figure);
            // Not to itself, and not to what is nothing.
            let ratios = ratios.filter(|ratios| index > 0 && ratios.max().is_normal());
            let (ratio, ratios) = spread(ratios, three_digits);
            let others = columns.iter().map(|column| {
                let (figure, decimals) = ((column.figure)(entry), column.decimals);
                figure.map_or_else(String::new, |figure| format!("{figure:.decimals$}"))
            });
            let cells = [&median, &range, &ratio, &ratios].map(String::as_str);
            lines += &row(entry.name, cells, columns, others);
        }
        Self {
            title: title.into(),
            lines,
            note: "",
            goals: Vec::new(),
            missing: results.missing.clone(),
            noise: results.noise(),
        }
    }

    /// Of operations a second, with what they cost.
    pub(crate) fn of_rates(title: impl Into<String>, results: &Comparison<RateSample>) -> Self {
        let first = results.entries.first().map_or("", |entry| entry.name);
        let columns = [
            ResultColumn {
                head: "us",
                width: 7,
                decimals: 2,
                figure: &|entry| entry.median(|sample: &RateSample| sample.server_micros),
            },
            ResultColumn {
                head: "gen",
                width: 4,
                decimals: 2,
                figure: &|entry| entry.median(|sample| sample.client_cores),
            },
            ResultColumn {
                head: "cpu",
                width: 4,
                decimals: 2,
                figure: &|entry| {
                    let ratios = processor_times(results, first, entry.name);
                    let ratios = ratios.filter(|_| entry.name != first);
                    ratios.map(|ratios| ratios.median())
                },
            },
        ];
        Self::new(
            title,
            "median/s",
            0,
            results,
            |sample| sample.rate,
            &columns,
        )
    }

    pub(crate) fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// Rows of a Markdown table.
    pub(crate) fn goal_rows(&self) -> String {
        let remark = self.disturbed().map(|rounds| format!("; {rounds}"));
        let remark = remark.unwrap_or_default();
        let rows = self.goals.iter().map(|goal| goal.row(&self.title, &remark));
        rows.collect()
    }

    /// In which rounds, if any.
    fn disturbed(&self) -> Option<String> {
        let rounds = (1..).zip(&self.noise);
        let rounds = rounds.filter(|&(_, &cores)| cores > NOISE_CORES);
        let rounds: Vec<_> = rounds.map(|(round, _)| round.to_string()).collect();
        let of = self.noise.len();
        (!rounds.is_empty()).then(|| format!("disturbed: round {} of {of}", rounds.join(" ")))
    }
}

impl fmt::Display for ResultsTable {
    /// All but the title.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines)?;
        if !self.note.is_empty() {
            writeln!(f, "note: {}", self.note)?;
        }
        for goal in &self.goals {
            writeln!(f, "{goal}")?;
        }
        for Missing { name, reason } in &self.missing {
            writeln!(f, "missing: {name}: {reason}")?;
        }
        if let Some(rounds) = self.disturbed() {
            let worst = self.noise.iter().copied().fold(0.0, f64::max);
            writeln!(f, "{rounds}; others kept up to {worst:.2} cores busy")?;
        }
        Ok(())
    }
}

/// One line; the last cells belong to `columns`.
fn row<T>(
    name: &str,
    [median, range, ratio, ratios]: [&str; 4],
    columns: &[ResultColumn<'_, T>],
    others: impl Iterator<Item = String>,
) -> String {
    let mut line = format!("{name:<20} {median:>8} {range:>15} {ratio:>5} {ratios:>10}");
    for (ResultColumn { width, .. }, cell) in columns.iter().zip(others) {
        line += &format!(" {cell:>width$}");
    }
    line.trim_end().to_owned() + "\n"
}

/// The median, and from where to where.
fn spread(series: Option<Spread>, text: impl Fn(f64) -> String) -> (String, String) {
    series.map_or_else(Default::default, |series| {
        let [median, min, max] = [series.median(), series.min(), series.max()].map(text);
        (median, format!("{min}-{max}"))
    })
}

/// Three digits.
fn three_digits(ratio: f64) -> String {
    let decimals = match ratio {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{ratio:.decimals$}")
}

/// Processor time for an operation, `ours` to `theirs`.
fn processor_times(results: &Comparison<RateSample>, ours: &str, theirs: &str) -> Option<Spread> {
    results.ratios(ours, theirs, |sample| sample.server_micros)
}

/// The same where it stands for the rate: where the load generator is the limit for `ours`.
pub(crate) fn processor_times_at_the_limit(
    results: &Comparison<RateSample>,
    ours: &str,
    theirs: &str,
) -> Option<Spread> {
    let load = results.spread(ours, |sample| sample.client_cores)?;
    processor_times(results, ours, theirs).filter(|_| load.median() >= LOAD_CORES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::Bound;

    fn entry(name: &'static str, rate: f64, noise: &[f64]) -> ContestantResults<RateSample> {
        let sample = RateSample {
            rate,
            server_micros: 1234.56,
            client_cores: 0.96,
        };
        ContestantResults {
            name,
            results: vec![sample; noise.len()],
            noise: noise.to_vec(),
        }
    }

    fn results(entries: Vec<ContestantResults<RateSample>>) -> Comparison<RateSample> {
        let missing = vec![Missing::new("ncat", "it is slow")];
        Comparison { entries, missing }
    }

    #[test]
    fn a_table_fits_80_columns() {
        let entries = results(vec![
            entry("sockeye", 1_234_567.0, &[0.0; 3]),
            entry("tokio current-thread", 12_345.0, &[0.0; 3]),
        ]);
        let text = ResultsTable::of_rates("a title", &entries).to_string();
        assert!(text.contains("1234567 1234567-1234567"), "{text}");
        assert!(text.contains("missing: ncat: it is slow"), "{text}");
        assert!(!text.contains("disturbed"), "{text}");
        for line in LEGEND.lines().chain(text.lines()) {
            assert!(line.len() <= 80, "{line}");
        }
    }

    #[test]
    fn ratios_are_those_of_the_first_line() {
        let entries = results(vec![entry("a", 300.0, &[0.0]), entry("b", 200.0, &[0.0])]);
        let text = ResultsTable::of_rates("", &entries).to_string();
        let mut lines = text.lines().skip(1);
        assert!(!lines.next().unwrap().contains("1.00"), "{text}");
        assert!(lines.next().unwrap().contains(" 1.50 "), "{text}");
    }

    #[test]
    fn disturbed_rounds_are_named() {
        let entries = results(vec![
            entry("a", 1.0, &[0.0, 0.7, 0.0]),
            entry("b", 1.0, &[0.2, 0.0, 0.1]),
        ]);
        let found = series_of_one();
        let table = ResultsTable::of_rates("echo", &entries).goal(Goal::new(
            "x",
            found,
            Bound::AtLeast(1.0),
        ));
        let text = table.to_string();
        assert!(
            text.contains("round 1 2 of 3; others kept up to 0.70 cores"),
            "{text}"
        );
        assert!(
            table
                .goal_rows()
                .contains("met; disturbed: round 1 2 of 3 |")
        );
    }

    #[test]
    fn processor_time_counts_at_the_limit_of_the_load_only() {
        let mut entries = results(vec![entry("a", 1.0, &[0.0]), entry("b", 1.0, &[0.0])]);
        assert!(processor_times_at_the_limit(&entries, "a", "b").is_some());
        entries.entries[0].results[0].client_cores = 0.9;
        assert!(processor_times_at_the_limit(&entries, "a", "b").is_none());
    }

    fn series_of_one() -> Option<Spread> {
        Spread::new(vec![1.0])
    }
}
