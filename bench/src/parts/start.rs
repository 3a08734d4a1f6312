//! From the start of a server to its first answer.

use crate::contestants::Contestant;
use crate::goal::{Bound, Goal};
use crate::peers::{EPOLL_LOOP, SOCKEYE};
use crate::results_page::ResultsPage;
use crate::results_table::ResultsTable;
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::spread::Spread;
use crate::tools::Tools;
use anyhow::Context;
use std::time::Instant;

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye()),
        tools.epoll_loop(),
        Ok(tools.tokio()),
        tools.go_echo(),
    ];
    let contestants = harness.try_out(candidates)?;
    let title = "from the start of a server to its first answer";
    let results = harness.compare_unstarted(title, &contestants, |peer| measure(peer, harness))?;
    let time = |&ms: &f64| ms;
    let table = ResultsTable::new(title, "ms", 2, &results, time, &[])
        .note("each figure is the median of the starts of a turn, one after the other")
        .goal(Goal::new(
            "milliseconds of sockeye",
            results.spread(SOCKEYE, time),
            Bound::AtMost(5.0),
        ))
        .goal(Goal::new(
            "time to epoll loop in C",
            results.ratios(SOCKEYE, EPOLL_LOOP, time),
            Bound::AtMost(2.5),
        ));
    report.add(table);
    Ok(())
}

/// In milliseconds.
fn measure(peer: &Contestant, harness: &Harness<'_>) -> anyhow::Result<f64> {
    let end = Instant::now() + harness.turn;
    let mut times = Vec::new();
    while Instant::now() < end {
        let server = RunningServer::start(peer, harness.directory, harness.interrupt)?;
        server.answer_once(peer)?;
        times.push(server.started().elapsed().as_secs_f64() * 1e3);
    }
    let times = Spread::new(times).context("there was no time for a single start")?;
    Ok(times.median())
}
