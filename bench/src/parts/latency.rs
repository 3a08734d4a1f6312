//! One message at a time between two cores.

use crate::client::{self, AnswerKind};
use crate::comparison::Comparison;
use crate::contestants::ClientWait;
use crate::cores::Cores;
use crate::goal::{Bound, Goal};
use crate::meter::WARM_UP;
use crate::peers::{EPOLL_LOOP, SOCKEYE_ECHO, TOKIO, built};
use crate::percentiles::Percentiles;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable};
use crate::round_trips::round_trips;
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::tools::Tools;
use anyhow::Context;

const POLLING: &str = "sockeye --busy-poll";
const SPINNING: &str = "spin loop in C";

/// Two contestants, and the highest ratio of their medians.
const GOALS: [(&str, &str, f64); 3] = [
    (POLLING, SPINNING, 1.5),
    (POLLING, TOKIO, 0.2),
    (SOCKEYE_ECHO, EPOLL_LOOP, 1.05),
];

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let title = "round trip, 64 bytes, one connection, two cores";
    let polling = tools.sockeye_echo().named(POLLING);
    let polling = polling.arguments(&["--busy-poll", "100us"]);
    let candidates = [
        Ok(polling.waiting(ClientWait::BusyPoll)),
        built(SPINNING, &tools.spin_echo, AnswerKind::Echo)
            .map(|peer| peer.waiting(ClientWait::Spinning)),
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        tools.epoll_loop_on_tcp(),
        Ok(tools.tokio()),
    ];
    let contestants = harness.try_out(candidates)?;
    let results = match Cores::find() {
        Ok(cores) => harness.compare_unstarted(title, &contestants, |peer| {
            cores.apart(
                || RunningServer::start(peer, harness.directory, harness.interrupt),
                |server| measure(&server, peer.waiting, harness),
            )
        })?,
        Err(reason) => Comparison::without("a core for each side", &reason),
    };
    let columns = [ResultColumn {
        head: "p99/us",
        width: 7,
        decimals: 1,
        figure: &|entry| entry.median(|times: &Percentiles| times.p99),
    }];
    let median = |times: &Percentiles| times.p50;
    let mut table = ResultsTable::new(title, "p50/us", 2, &results, median, &columns)
        .note("in the first two both sides poll all the time; in the others both sleep");
    for (ours, theirs, most) in GOALS {
        let found = results.ratios(ours, theirs, median);
        let what = format!("p50 of {ours} to {theirs}");
        table = table.goal(Goal::new(what, found, Bound::AtMost(most)));
    }
    report.add(table);
    Ok(())
}

fn measure(
    server: &RunningServer,
    waiting: ClientWait,
    harness: &Harness<'_>,
) -> anyhow::Result<Percentiles> {
    let stream = client::connect(server.address()).context("cannot connect")?;
    round_trips(&stream, waiting, WARM_UP, harness.interrupt)?;
    let times = round_trips(&stream, waiting, harness.turn, harness.interrupt)?;
    Percentiles::of(times).context("there was not one answer")
}
