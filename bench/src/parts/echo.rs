//! Messages on persistent connections.

use crate::goal::{Bound, Goal};
use crate::load;
use crate::peers::{EPOLL_LOOP, GO, SOCKEYE_ECHO, TOKIO};
use crate::results_page::ResultsPage;
use crate::results_table::{ResultsTable, processor_times_at_the_limit};
use crate::rounds::Harness;
use crate::tools::Tools;

/// The contestant to compare with, the goal for the rate, and for processor time where the load generator is the limit.
const GOALS: [(&str, f64, f64); 3] = [(EPOLL_LOOP, 1.0, 1.0), (TOKIO, 1.15, 0.87), (GO, 1.7, 0.6)];

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye_echo()),
        Ok(tools.tokio()),
        Ok(tools.tokio_current_thread()),
        tools.epoll_loop(),
        tools.epoll_loop_on_tcp(),
        tools.go_echo(),
    ];
    let contestants = harness.try_out(candidates)?;
    for connections in [16, 256] {
        let title = format!("echo, 64 bytes, {connections} connections");
        let results = harness.compare_rates(&title, &contestants, |server, _| {
            load::on(server, connections, harness.interrupt)
        })?;
        let mut table = ResultsTable::of_rates(title, &results);
        for (name, rate, processor_time) in GOALS {
            let found = results.ratios(SOCKEYE_ECHO, name, |sample| sample.rate);
            let instead = processor_times_at_the_limit(&results, SOCKEYE_ECHO, name);
            let goal = Goal::new(format!("rate to {name}"), found, Bound::AtLeast(rate));
            table = table.goal(goal.or_processor_time(instead, Bound::AtMost(processor_time)));
        }
        report.add(table);
    }
    Ok(())
}
