//! From the start of a server to its first answer.

use crate::contest::Arena;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::peer::{EPOLL_LOOP, Peer, SOCKEYE};
use crate::report::Report;
use crate::series::Series;
use crate::server::Server;
use crate::table::Table;
use crate::tools::Tools;
use anyhow::Context;
use std::time::Instant;

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye()),
        tools.epoll_loop(),
        Ok(tools.tokio()),
        tools.go_echo(),
    ];
    let lineup = Lineup::try_out(candidates, arena)?;
    let title = "from the start of a server to its first answer";
    let outcome = arena.hold_unstarted(title, &lineup, |peer| measure(peer, arena))?;
    let time = |&ms: &f64| ms;
    let table = Table::new(title, "ms", 2, &outcome, time, &[])
        .note("each figure is the median of the starts of a turn, one after the other")
        .goal(Goal::new(
            "milliseconds of sockeye",
            outcome.series(SOCKEYE, time),
            Bound::AtMost(5.0),
        ))
        .goal(Goal::new(
            "time to epoll loop in C",
            outcome.ratios(SOCKEYE, EPOLL_LOOP, time),
            Bound::AtMost(2.5),
        ));
    report.add(table);
    Ok(())
}

/// In milliseconds.
fn measure(peer: &Peer, arena: &Arena<'_>) -> anyhow::Result<f64> {
    let end = Instant::now() + arena.turn;
    let mut times = Vec::new();
    while Instant::now() < end {
        let server = Server::start(peer, arena.directory, arena.stop)?;
        server.answer_once(peer)?;
        times.push(server.started().elapsed().as_secs_f64() * 1e3);
    }
    let times = Series::new(times).context("there was no time for a single start")?;
    Ok(times.median())
}
