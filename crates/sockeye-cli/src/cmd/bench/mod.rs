//! `sockeye bench`: round trips a second and their latency, of a server or of two in comparison.

mod answer;
mod compare;
mod exchange;
mod load;
mod matrix;
mod page;
mod report;
mod request;
mod sample;
mod schedule;
mod servers;
mod socket;
mod stop;

use std::num::NonZeroU64;
use std::time::Duration;

use rustix::thread::set_current_timer_slack;

use super::descriptor_limit;
use crate::args::{Bench, Endpoint};
use crate::cmd::hung;
use crate::exit::{Exit, failure};
use page::PageFile;
use report::BenchReport;
use stop::StopSignal;

/// A server that takes longer for anything is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a process may take from closing one of its sockets to its end.
const AT_ITS_END: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &Bench) -> anyhow::Result<Exit> {
    args.check()?;
    for endpoint in args.address.iter().chain(&args.compare) {
        if let Endpoint::Unix(address) = endpoint
            && let Some(path) = address.path()
        {
            hung::must_answer("connect to", address, &[path], PATIENCE, |_| {})?;
        }
    }
    let page = args.html.as_deref().map(PageFile::open).transpose()?;
    descriptor_limit::raise(None);
    // With the default slack a sleep until a request is due takes 50 us longer.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    let stop = StopSignal::watch()?;
    let mut report = BenchReport::new(args.json);
    let measured = match &*args.compare {
        [a, b] => compare::run(args, [a, b], &stop, &mut report),
        _ => matrix::run(args, &stop, &mut report),
    };
    // The results until an error are valid.
    let printed = report.print();
    let written = match page {
        Some(page) if report.is_empty() => {
            page.give_up();
            Ok(())
        }
        Some(page) => page.write(&report.page()),
        None => Ok(()),
    };
    measured.and(printed).and(written)?;
    Ok(Exit::Done)
}

/// The duration of a measurement, and of the warm-up before it.
#[derive(Clone, Copy)]
struct MeasuringTimes {
    warm_up: Duration,
    time: Duration,
}

impl MeasuringTimes {
    /// `asked`, or what lets `count` measurements fit into `budget`.
    fn new(asked: Option<Duration>, budget: Duration, count: usize) -> Self {
        const LONGEST: Duration = Duration::from_secs(3);
        let share = budget / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let time = asked.unwrap_or_else(|| (share * 6 / 7).min(LONGEST));
        Self {
            warm_up: (time / 6).min(Duration::from_millis(200)),
            time,
        }
    }
}

fn complaint(exit: Exit, endpoint: &Endpoint, found: &str, advice: &str) -> anyhow::Error {
    failure(
        exit,
        format!("cannot measure {endpoint}: {found}; {advice}"),
    )
}
