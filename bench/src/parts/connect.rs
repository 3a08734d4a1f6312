//! Connect, request, answer, close.

use crate::client::Answer;
use crate::contest::Arena;
use crate::exchange;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::peer::{EPOLL_LOOP, SOCKEYE, SOCKEYE_ECHO, built};
use crate::report::Report;
use crate::table::Table;
use crate::tools::Tools;

const GO_ONCE: &str = "go, one read";

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye()),
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        built(GO_ONCE, &tools.go_once, Answer::Reply),
        built("go, thirty lines", &tools.go_thirty_lines, Answer::Reply),
    ];
    let lineup = Lineup::try_out(candidates, arena)?;
    let title = "connect, request, answer, close; one client";
    let outcome = arena.hold_rates(title, &lineup, |_, peer| {
        Ok(exchange::with(peer.answer, 1, arena.stop))
    })?;
    let rates = |ours, theirs| outcome.ratios(ours, theirs, |sample| sample.rate);
    let table = Table::of_rates(title, &outcome)
        .goal(Goal::new(
            "rate with --echo to epoll loop in C",
            rates(SOCKEYE_ECHO, EPOLL_LOOP),
            Bound::AtLeast(1.0),
        ))
        .goal(Goal::new(
            "rate with the default reply to go, one read",
            rates(SOCKEYE, GO_ONCE),
            Bound::AtLeast(1.5),
        ));
    report.add(table);
    Ok(())
}
