//! Results as text, 80 columns wide.

use crate::contest::Entry;
use crate::idle::Cost;
use crate::meter::Sample;
use crate::series::Series;

/// Printed once, above the tables.
pub(crate) const LEGEND: &str = "\
median/s   operations a second, the median of the rounds; min-max beside it
us         processor time of the server for one operation, in microseconds
srv gen    cores kept busy by the server and by the load generator
ratio      sockeye's rate to this server's, both of the same round: the median
           of the rounds, min-max beside it; over 1 means sockeye is faster
";

/// More than this from anything but the server and its load, and a table says that it was disturbed.
const NOISE_CORES: f64 = 0.1;

/// Rates, costs and ratios.
pub(crate) fn of_rates(title: &str, entries: &[Entry<Sample>]) -> String {
    let mut text = format!(
        "{title}\n{:<21}{:>8} {:>15} {:>6} {:>4} {:>4} {:>6} {:>10}\n",
        "server", "median/s", "min-max", "us", "srv", "gen", "ratio", "min-max"
    );
    let sockeye = entries.iter().find(|entry| entry.peer.is_subject);
    let sockeye = sockeye.map(|entry| entry.figures(|sample| sample.rate));
    let mut goals = String::new();
    for entry in entries {
        let median = |figure: fn(&Sample) -> f64| {
            Series::new(entry.figures(figure)).map_or(f64::NAN, |series| series.median())
        };
        let rates = entry.figures(|sample| sample.rate);
        let Some(rate) = Series::new(rates.clone()) else {
            continue;
        };
        text += &format!(
            "{:<21}{:>8.0} {:>15} {:>6.2} {:>4.2} {:>4.2}",
            entry.peer.name,
            rate.median(),
            format!("{:.0}-{:.0}", rate.min(), rate.max()),
            median(|sample| sample.server_micros),
            median(|sample| sample.server_cores),
            median(|sample| sample.client_cores),
        );
        // Without Sockeye there are rates, but nothing to compare them with.
        let ratio = sockeye.as_deref();
        let ratio = ratio.and_then(|sockeye| Series::of_ratios(sockeye, &rates));
        if let Some(ratio) = ratio.filter(|_| !entry.peer.is_subject) {
            let range = format!("{:.2}-{:.2}", ratio.min(), ratio.max());
            text += &format!(" {:>6.2} {range:>10}", ratio.median());
            if let Some(goal) = entry.peer.goal {
                let name = format!("{} x {}", goal_text(goal), entry.peer.name);
                goals += &verdict(&name, ratio.median() >= goal);
            }
        }
        text.push('\n');
    }
    text + &goals + &noise(entries)
}

/// Memory of idle connections, beside a goal in bytes for Sockeye itself.
pub(crate) fn of_costs(title: &str, entries: &[Entry<Cost>]) -> String {
    let mut text = format!(
        "{title}\n{:<25}{:>12} {:>15} {:>13} {:>12}\n",
        "server", "bytes each", "min-max", "MiB before", "MiB after"
    );
    let mut goals = String::new();
    for entry in entries {
        let Some(each) = Series::new(entry.figures(Cost::bytes_per_connection)) else {
            continue;
        };
        let mib = |figure: fn(&Cost) -> u64| {
            let bytes = Series::new(entry.figures(|cost| figure(cost) as f64));
            bytes.map_or(f64::NAN, |bytes| bytes.median() / 1_048_576.0)
        };
        text += &format!(
            "{:<25}{:>12.0} {:>15} {:>13.1} {:>12.1}\n",
            entry.peer.name,
            each.median(),
            format!("{:.0}-{:.0}", each.min(), each.max()),
            mib(|cost| cost.before),
            mib(|cost| cost.after),
        );
        if let Some(goal) = entry.peer.goal {
            let name = format!("under {goal:.0} bytes in {}", entry.peer.name);
            goals += &verdict(&name, each.median() < goal);
        }
    }
    text + &goals
}

/// Why there are fewer servers in the tables than there could be.
pub(crate) fn of_missing(missing: &[(String, String)]) -> String {
    let lines = missing.iter();
    lines
        .map(|(name, reason)| format!("missing    {name}: {reason}\n"))
        .collect()
}

fn goal_text(goal: f64) -> String {
    format!("at least {goal:.2}")
}

fn verdict(goal: &str, met: bool) -> String {
    let met = if met { "met" } else { "NOT MET" };
    format!("goal: {goal}: {met}\n")
}

fn noise(entries: &[Entry<Sample>]) -> String {
    let samples = entries.iter().flat_map(|entry| &entry.results);
    let worst = samples.map(|sample| sample.other_cores).fold(0.0, f64::max);
    if worst > NOISE_CORES {
        format!("disturbed: other processes kept up to {worst:.2} cores busy\n")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Answer;
    use crate::peer::Peer;

    fn subject<T: Clone>(name: &'static str, result: &T) -> Entry<T> {
        Entry {
            peer: Peer::new(name, "", Answer::Echo).subject(),
            results: vec![result.clone(); 3],
        }
    }

    fn entry<T: Clone>(name: &'static str, goal: f64, result: &T) -> Entry<T> {
        Entry {
            peer: Peer::new(name, "", Answer::Echo).goal(goal),
            results: vec![result.clone(); 3],
        }
    }

    fn sample(rate: f64) -> Sample {
        Sample {
            rate,
            server_micros: 123.45,
            server_cores: 1.5,
            client_cores: 0.5,
            other_cores: 0.0,
        }
    }

    #[test]
    fn tables_fit_80_columns_and_tell_the_goals() {
        let rates = of_rates(
            "a title",
            &[
                subject("sockeye", &sample(1_234_567.0)),
                entry("tokio current-thread", 1.3, &sample(1_000_000.0)),
                entry("go", 1.0, &sample(1_000_000.0)),
            ],
        );
        assert!(rates.contains("at least 1.30 x tokio current-thread: NOT MET"));
        assert!(rates.contains("at least 1.00 x go: met"));
        assert!(!rates.contains("disturbed"));
        let cost = Cost {
            before: 5 << 20,
            after: 105 << 20,
        };
        let costs = of_costs("a title", &[entry("sockeye, default reply", 2048.0, &cost)]);
        assert!(costs.contains("under 2048 bytes in sockeye, default reply: NOT MET"));
        for line in [LEGEND, &rates, &costs].concat().lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }

    #[test]
    fn a_disturbed_table_says_so() {
        let disturbed = Sample {
            other_cores: 0.7,
            ..sample(1.0)
        };
        let text = of_rates("", &[subject("sockeye", &disturbed)]);
        assert!(text.contains("up to 0.70 cores"));
    }
}
