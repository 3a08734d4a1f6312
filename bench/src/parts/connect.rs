//! Connect, request, answer, close.

use crate::client::AnswerKind;
use crate::exchange;
use crate::goal::{Bound, Goal};
use crate::peers::{EPOLL_LOOP, SOCKEYE, SOCKEYE_ECHO, built};
use crate::results_page::ResultsPage;
use crate::results_table::ResultsTable;
use crate::rounds::Harness;
use crate::tools::Tools;

const GO_ONCE: &str = "go, one read";

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye()),
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        built(GO_ONCE, &tools.go_once, AnswerKind::Reply),
        built(
            "go, thirty lines",
            &tools.go_thirty_lines,
            AnswerKind::Reply,
        ),
    ];
    let contestants = harness.try_out(candidates)?;
    let title = "connect, request, answer, close; one client";
    let results = harness.compare_rates(title, &contestants, |_, peer| {
        Ok(exchange::with(peer.answer, 1, harness.interrupt))
    })?;
    let rates = |ours, theirs| results.ratios(ours, theirs, |sample| sample.rate);
    let table = ResultsTable::of_rates(title, &results)
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
