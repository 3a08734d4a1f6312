//! What `--busy-poll` costs where it does not help.

use crate::client::{self, AnswerKind};
use crate::goal::{Bound, Goal};
use crate::load::{self, EchoLoad};
use crate::peers::SOCKEYE_ECHO;
use crate::procfs;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable};
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::spread::Spread;
use crate::tools::Tools;
use anyhow::Context;
use std::fmt;
use std::time::{Duration, Instant};

const POLLING: &str = "sockeye --busy-poll";

/// Longer than the server polls.
const PAUSE: Duration = Duration::from_micros(500);

/// The results of a server with little load.
struct PollingCost {
    /// Processor time with connections that do nothing, in percent of a core.
    idle: f64,
    /// Processor time for a request that comes late, in microseconds.
    late: f64,
}

impl fmt::Display for PollingCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "idle {:.3}%; {:.2} us a request", self.idle, self.late)
    }
}

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let contestants = |time| {
        let polling = tools.sockeye_echo().named(POLLING);
        let polling = polling.arguments(&["--busy-poll", time]);
        harness.try_out([Ok(polling), Ok(tools.sockeye_echo())])
    };
    let short = contestants("50us")?;
    for connections in [16, 256] {
        let title = format!("echo with --busy-poll 50us, 64 bytes, {connections} connections");
        let results = harness.compare_rates(&title, &short, |server, _| {
            load::on(server, connections, harness.interrupt)
        })?;
        let found = results.ratios(POLLING, SOCKEYE_ECHO, |sample| sample.rate);
        let goal = Goal::new("rate to the same without", found, Bound::AtLeast(0.95));
        report.add(ResultsTable::of_rates(title, &results).goal(goal));
    }

    let title = "little to do with --busy-poll 100us";
    let results = harness.compare(title, &contestants("100us")?, |server, _| {
        weigh(server, harness)
    })?;
    let columns = [ResultColumn {
        head: "idle/%",
        width: 7,
        decimals: 3,
        figure: &|entry| entry.median(|cost: &PollingCost| cost.idle),
    }];
    let late = |cost: &PollingCost| cost.late;
    let mut extra = None;
    if let [polling, sleeping] = &results.entries[..] {
        let pairs = polling.results.iter().zip(&sleeping.results);
        extra = Spread::new(pairs.map(|(a, b)| a.late - b.late).collect());
    }
    let table = ResultsTable::new(title, "us", 2, &results, late, &columns)
        .note("us: processor time for each of requests that are 0.5 ms apart")
        .goal(Goal::new(
            "processor time while idle, percent",
            results.spread(POLLING, |cost| cost.idle),
            Bound::AtMost(1.0),
        ))
        .goal(Goal::new(
            "processor time more for a late request, us",
            extra,
            Bound::AtMost(50.0),
        ));
    report.add(table);
    Ok(())
}

fn weigh(server: &RunningServer, harness: &Harness<'_>) -> anyhow::Result<PollingCost> {
    let mut load = EchoLoad::connect(server.address(), 16, harness.interrupt)?;
    load.run(|_| false, |_| {})?;
    // The last answer is not the last that the server does.
    harness.interrupt.sleep(Duration::from_millis(100))?;
    let (start, before) = (Instant::now(), procfs::cpu_time(server.pid())?);
    harness.interrupt.sleep(harness.turn)?;
    let used = procfs::cpu_time(server.pid())?.saturating_sub(before);
    let idle = used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;

    let stream = client::connect(server.address()).context("cannot connect")?;
    let message = client::message(0);
    let before = procfs::cpu_time(server.pid())?;
    let end = Instant::now() + harness.turn;
    let mut requests = 0;
    while Instant::now() < end {
        harness.interrupt.check()?;
        client::send(&stream, &message)?;
        client::read_answer(&stream, AnswerKind::Echo, &message)?;
        requests += 1;
        std::thread::sleep(PAUSE);
    }
    let used = procfs::cpu_time(server.pid())?.saturating_sub(before);
    let late = used.as_secs_f64() * 1e6 / f64::from(requests);
    Ok(PollingCost { idle, late })
}
