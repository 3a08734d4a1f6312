//! Memory of connections that do nothing.

use crate::client::AnswerKind;
use crate::goal::{Bound, Goal};
use crate::idlers::{CONNECTIONS, Idlers};
use crate::interrupt::Interrupt;
use crate::peers::{SOCKEYE, SOCKEYE_ECHO};
use crate::procfs;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable};
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::tools::Tools;
use std::fmt;
use std::time::Duration;

/// How long a server may take to free memory once its connections are idle.
const SETTLE: Duration = Duration::from_millis(500);

/// Resident memory of one server in one round.
struct MemoryCost {
    /// Before the first connection, in bytes.
    before: u64,
    /// With all connections idle, in bytes.
    after: u64,
}

impl MemoryCost {
    fn of_each(&self) -> f64 {
        (self.after as f64 - self.before as f64) / CONNECTIONS as f64
    }
}

impl fmt::Display for MemoryCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} bytes each", self.of_each())
    }
}

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye()),
        Ok(tools.sockeye_echo()),
        Ok(tools.tokio()),
        tools.go_echo(),
    ];
    let contestants = harness.try_out(candidates)?;
    let title = format!("resident memory of {CONNECTIONS} idle connections");
    let results = harness.compare(&title, &contestants, |server, peer| {
        weigh(server, peer.answer, harness.interrupt)
    })?;
    let columns = [
        ResultColumn {
            head: "before",
            width: 7,
            decimals: 0,
            figure: &|entry| entry.median(|cost: &MemoryCost| cost.before as f64 / 1024.0),
        },
        ResultColumn {
            head: "after",
            width: 9,
            decimals: 0,
            figure: &|entry| entry.median(|cost| cost.after as f64 / 1024.0),
        },
    ];
    let head = "bytes";
    let mut table = ResultsTable::new(title, head, 0, &results, MemoryCost::of_each, &columns)
        .note("bytes of each connection; before and after all of them in KiB");
    for name in [SOCKEYE, SOCKEYE_ECHO] {
        let found = results.spread(name, MemoryCost::of_each);
        let what = format!("bytes of each, {name}");
        table = table.goal(Goal::new(what, found, Bound::AtMost(1024.0)));
    }
    report.add(table);
    Ok(())
}

fn weigh(
    server: &RunningServer,
    answer: AnswerKind,
    interrupt: &Interrupt,
) -> anyhow::Result<MemoryCost> {
    let before = procfs::resident_bytes(server.pid())?;
    let idlers = Idlers::open(server, CONNECTIONS, answer, interrupt)?;
    interrupt.sleep(SETTLE)?;
    let after = procfs::resident_bytes(server.pid())?;
    idlers.check()?;
    Ok(MemoryCost { before, after })
}
