//! Messages on connections that stay.

use crate::contest::Arena;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::load;
use crate::peer::{EPOLL_LOOP, GO, SOCKEYE_ECHO, TOKIO};
use crate::report::Report;
use crate::table::{Table, processor_times_at_the_limit};
use crate::tools::Tools;

/// To whom, the rate, and the processor time for a message where the load is the limit.
const GOALS: [(&str, f64, f64); 3] = [(EPOLL_LOOP, 1.0, 1.0), (TOKIO, 1.15, 0.87), (GO, 1.7, 0.6)];

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye_echo()),
        Ok(tools.tokio()),
        Ok(tools.tokio_current_thread()),
        tools.epoll_loop(),
        tools.epoll_loop_on_tcp(),
        tools.go_echo(),
    ];
    let lineup = Lineup::try_out(candidates, arena)?;
    for connections in [16, 256] {
        let title = format!("echo, 64 bytes, {connections} connections");
        let outcome = arena.hold_rates(&title, &lineup, |server, _| {
            load::on(server, connections, arena.stop)
        })?;
        let mut table = Table::of_rates(title, &outcome);
        for (name, rate, processor_time) in GOALS {
            let found = outcome.ratios(SOCKEYE_ECHO, name, |sample| sample.rate);
            let instead = processor_times_at_the_limit(&outcome, SOCKEYE_ECHO, name);
            let goal = Goal::new(format!("rate to {name}"), found, Bound::AtLeast(rate));
            table = table.goal(goal.or_processor_time(instead, Bound::AtMost(processor_time)));
        }
        report.add(table);
    }
    Ok(())
}
