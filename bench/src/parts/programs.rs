//! Connections that are answered by a program, started for each.

use crate::client::AnswerKind;
use crate::contestants::Contestant;
use crate::exchange;
use crate::goal::{Bound, Goal};
use crate::peers::{SOCKEYE, built};
use crate::results_page::ResultsPage;
use crate::results_table::ResultsTable;
use crate::rounds::Harness;
use crate::tools::Tools;

/// The contestant to compare with, and the goal for the rate.
const GOALS: [(&str, f64); 2] = [("s6-ipcserver", 1.0), ("socat", 1.5)];

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let peer = |name, program: &str| Contestant::new(name, program, AnswerKind::Echo);
    let candidates = [
        Ok(Contestant::new(SOCKEYE, &tools.sockeye, AnswerKind::Echo)
            .arguments(&["serve"])
            .handler(&["--", "/bin/cat"])),
        Ok(peer("s6-ipcserver", "s6-ipcserver").handler(&["/bin/cat"])),
        Ok(peer("socat", "sh").arguments(&["-c", "exec socat UNIX-LISTEN:$0,fork EXEC:/bin/cat"])),
        Ok(peer("ncat", "ncat")
            .arguments(&["-lkU"])
            .handler(&["--exec", "/bin/cat"])),
        built("posix_spawn in C", &tools.spawn_loop, AnswerKind::Echo)
            .map(|peer| peer.handler(&["/bin/cat"])),
    ];
    let contestants = harness.try_out(candidates)?;
    for clients in [1, 4] {
        let title = format!("a program (/bin/cat) for each connection, clients: {clients}");
        let results = harness.compare_rates(&title, &contestants, |_, peer| {
            Ok(exchange::with(peer.answer, clients, harness.interrupt))
        })?;
        let mut table = ResultsTable::of_rates(title, &results);
        for (name, rate) in GOALS {
            let found = results.ratios(SOCKEYE, name, |sample| sample.rate);
            table = table.goal(Goal::new(
                format!("rate to {name}"),
                found,
                Bound::AtLeast(rate),
            ));
        }
        report.add(table);
    }
    Ok(())
}
