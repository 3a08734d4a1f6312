//! The results of a benchmark, as JSON and as a table.

use std::io::{self, Write};
use std::iter;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::layout::Layout;
use super::table::TextTable;
use crate::escape;
use crate::transport::Transport;

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) round_trips: Vec<RoundTrips>,
    pub(crate) conversations: Vec<Conversations>,
    /// The ratio of the two in `round_trips`.
    pub(crate) ratio: Option<Ratio>,
}

/// The result for one kind, size and number of connections.
#[derive(Serialize)]
pub(crate) struct RoundTrips {
    /// The kind, or the address in a comparison.
    #[serde(skip)]
    pub(crate) label: String,
    kind: Transport,
    pub(crate) size: usize,
    pub(crate) connections: u32,
    pub(crate) requests_per_second: f64,
    bytes_per_second: f64,
    latency_us: Latency,
    /// Requests that failed, which count nowhere else; `None` where an answer that is not the one
    /// expected ends the measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<u64>,
    /// See [`curve`].
    #[serde(skip)]
    pub(crate) curve: Vec<(f64, f64)>,
}

#[derive(Serialize)]
struct Latency {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
pub(crate) struct Conversations {
    pub(crate) kind: Transport,
    pub(crate) connections_per_second: f64,
}

/// The ratio of the requests a second of two servers.
#[derive(Serialize)]
pub(crate) struct Ratio {
    pub(crate) ratio: f64,
    pub(crate) ratio_low: f64,
    pub(crate) ratio_high: f64,
    #[serde(skip)]
    pub(crate) pairs: usize,
    /// The ratio of the rates over all pairs together.
    #[serde(skip)]
    pub(crate) of_all: f64,
}

impl RoundTrips {
    /// `latency` is in nanoseconds.
    pub(crate) fn new(
        label: &str,
        (kind, size, connections): (Transport, usize, u32),
        rate: f64,
        latency: &Histogram<u64>,
    ) -> Self {
        let at = |quantile| micros_at(latency, quantile);
        Self {
            label: label.to_owned(),
            kind,
            size,
            connections,
            requests_per_second: round(rate, 10.0),
            bytes_per_second: round(rate * size as f64, 10.0),
            latency_us: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p99_9: at(0.999),
                max: at(1.0),
            },
            errors: None,
            curve: curve(latency),
        }
    }

    pub(crate) fn with_errors(self, errors: Option<u64>) -> Self {
        Self { errors, ..self }
    }

    fn cells(&self) -> Vec<String> {
        let Latency {
            p50,
            p90,
            p99,
            p99_9,
            max,
        } = self.latency_us;
        let cells = [
            escape::line(&self.label).to_string(),
            size(self.size),
            self.connections.to_string(),
            rate(self.requests_per_second),
            bytes(self.bytes_per_second),
            time(p50),
            time(p90),
            time(p99),
            time(p99_9),
            time(max),
        ];
        let errors = self.errors.map(|count| count.to_string());
        cells.into_iter().chain(errors).collect()
    }
}

impl Conversations {
    pub(crate) fn new(kind: Transport, rate: f64) -> Self {
        Self {
            kind,
            connections_per_second: round(rate, 10.0),
        }
    }
}

impl Ratio {
    /// The median, lowest and highest ratio of the pairs, and the ratio over all pairs together. There is
    /// at least one pair.
    pub(crate) fn new(mut ratios: Vec<f64>, of_all: f64) -> Self {
        ratios.sort_by(f64::total_cmp);
        let pairs = ratios.len();
        let at = |index: usize| round(ratios[index], 1e4);
        Self {
            ratio: at(pairs / 2),
            ratio_low: at(0),
            ratio_high: at(pairs - 1),
            pairs,
            of_all: round(of_all, 1e4),
        }
    }

    /// Whether the ratio of the rates contradicts the median.
    fn is_contradicted(&self) -> bool {
        const NOTICED: f64 = 0.01;
        let other_side = (self.ratio - 1.0) * (self.of_all - 1.0) < 0.0;
        let rest = (self.of_all / self.ratio - 1.0).abs();
        rest > NOTICED || (other_side && rest > NOTICED / 10.0)
    }
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

fn micros_at(latency: &Histogram<u64>, quantile: f64) -> Option<f64> {
    let value = || round(latency.value_at_quantile(quantile) as f64 / 1e3, 1e3);
    (!latency.is_empty()).then(value)
}

/// Tail latency: the share of requests that took longer, in powers of a tenth (2: one in a hundred), and
/// the shortest time among those, in microseconds.
fn curve(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    const STEP: f64 = 0.125;
    let most = (latency.len() as f64).log10().min(4.0);
    let steps = if latency.is_empty() {
        0
    } else {
        (most / STEP) as u32 + 1
    };
    (0..steps)
        .filter_map(|step| {
            let power = f64::from(step) * STEP;
            let quantile = 1.0 - 10.0_f64.powf(-power);
            Some((power, micros_at(latency, quantile)?))
        })
        .collect()
}

impl Figures {
    /// Writes tables, none wider than `width`.
    pub(crate) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        if !self.round_trips.is_empty() {
            self.round_trips_table().write(out, width)?;
        }
        if !self.conversations.is_empty() {
            let mut table = TextTable::new(
                vec![column("KIND", false), column("CONNECTIONS/S", true)],
                true,
            );
            for found in &self.conversations {
                table.cell(|cell| cell.push_str(found.kind.name()));
                table.cell(|cell| cell.push_str(&rate(found.connections_per_second)));
            }
            writeln!(out)?;
            table.write(out, width)?;
        }
        if let Some(ratio) = &self.ratio {
            writeln!(out, "\n{ratio}")?;
        }
        Ok(())
    }

    fn round_trips_table(&self) -> TextTable {
        let numbers = self.titles().map(|title| column(title, true));
        let first = Layout {
            least: Some(9),
            is_address: true,
            ..column(self.first_title(), false)
        };
        let mut table = TextTable::new(iter::once(first).chain(numbers).collect(), true);
        for found in &self.round_trips {
            for text in found.cells() {
                table.cell(|cell| cell.push_str(&text));
            }
        }
        table
    }

    const TITLES: [&str; 9] = [
        "SIZE", "CONN", "REQ/S", "B/S", "P50", "P90", "P99", "P99.9", "MAX",
    ];

    fn titles(&self) -> impl Iterator<Item = &'static str> {
        let has_errors = self.round_trips.iter().any(|found| found.errors.is_some());
        Self::TITLES
            .into_iter()
            .chain(has_errors.then_some("ERRORS"))
    }

    fn first_title(&self) -> &'static str {
        match self.ratio {
            Some(_) => "SERVER",
            None => "KIND",
        }
    }

    /// The titles, then the cells of each row.
    pub(crate) fn each_row(&self, mut write: impl FnMut(&[String])) {
        let titles = [self.first_title()].into_iter().chain(self.titles());
        write(&titles.map(str::to_owned).collect::<Vec<_>>());
        for found in &self.round_trips {
            write(&found.cells());
        }
    }
}

fn column(title: &'static str, right: bool) -> Layout {
    Layout {
        title,
        right,
        least: None,
        is_address: false,
        rank: 0,
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            ratio,
            ratio_low,
            ratio_high,
            pairs,
            of_all,
        } = self;
        write!(
            f,
            "A has {ratio:.3} times the requests a second of B (median of {pairs} pairs: {ratio_low:.3} to {ratio_high:.3})"
        )?;
        if self.is_contradicted() {
            write!(
                f,
                "; the rates above, of all pairs together, give {of_all:.3}: some pairs were disturbed, and the median is less so"
            )?;
        }
        Ok(())
    }
}

/// `64B`, `1KiB`
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{}KiB", bytes >> 10),
        bytes => format!("{bytes}B"),
    }
}

/// `152k`
pub(crate) fn rate(value: f64) -> String {
    scaled(value, &[("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9)])
}

/// `1.26MB`
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)])
}

/// Of microseconds: `14.2us`, `1.23ms`
pub(crate) fn time(micros: Option<f64>) -> String {
    const UNITS: [(&str, f64); 3] = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    micros.map_or_else(|| "?".to_owned(), |micros| scaled(micros, &UNITS))
}

/// Three significant digits, in the largest unit that leaves one before the point.
fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    let fitting = units.iter().rev().find(|(_, unit)| value >= unit * 0.9995);
    let (name, unit) = fitting.or(units.first()).copied().unwrap_or(("", 1.0));
    let value = value / unit;
    let digits = match value {
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        for (micros, text) in [
            (0.5, "0.50us"),
            (9.996, "10.0us"),
            (99.96, "100us"),
            (999.4, "999us"),
            (999.9, "1.00ms"),
            (20_480.0, "20.5ms"),
            (2_500_000.0, "2.50s"),
        ] {
            assert_eq!(time(Some(micros)), text);
        }
        assert_eq!(time(None), "?");
        assert_eq!(rate(152_345.0), "152k");
        assert_eq!(bytes(9_750_080.0), "9.75MB");
        assert_eq!(
            [size(64), size(1024), size(1 << 16)],
            ["64B", "1KiB", "64KiB"]
        );
    }

    #[test]
    fn a_ratio_is_the_median_with_its_extremes() {
        let ratio = Ratio::new(vec![1.2, 0.9, 1.0, 1.1, 5.0], 1.1);
        assert_eq!(
            (ratio.ratio, ratio.ratio_low, ratio.ratio_high),
            (1.1, 0.9, 5.0)
        );
    }

    #[test]
    fn a_median_that_the_rates_contradict_says_so() {
        let told = |of_all| Ratio::new(vec![1.02], of_all).to_string();
        for alike in [1.02, 1.025, 1.012] {
            assert!(told(alike).ends_with("1.020)"), "{}", told(alike));
        }
        for other in [0.998, 1.1, 0.5] {
            assert!(
                told(other).contains("all pairs together"),
                "{}",
                told(other)
            );
        }
    }

    #[test]
    fn a_curve_goes_as_far_as_there_are_requests() {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        assert!(curve(&latency).is_empty());
        for micros in 1..=1000 {
            latency.record(micros * 1000).unwrap();
        }
        let curve = curve(&latency);
        let (power, micros) = curve[curve.len() - 1];
        assert_eq!(power, 3.0);
        assert!((999.0..1001.0).contains(&micros), "{micros}");
        assert!(curve.is_sorted_by(|a, b| a.1 <= b.1));
    }
}
