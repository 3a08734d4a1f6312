//! Memory of connections that do nothing.

use crate::client::Answer;
use crate::contest::Arena;
use crate::goal::{Bound, Goal};
use crate::idlers::{CONNECTIONS, Idlers};
use crate::lineup::Lineup;
use crate::peer::{SOCKEYE, SOCKEYE_ECHO};
use crate::procfs;
use crate::report::Report;
use crate::server::Server;
use crate::stop::Stop;
use crate::table::{Column, Table};
use crate::tools::Tools;
use std::fmt;
use std::time::Duration;

/// Time that a server has to give memory back once its connections are idle.
const SETTLE: Duration = Duration::from_millis(500);

/// Resident memory of one server in one round.
struct Cost {
    /// Before the first connection, in bytes.
    before: u64,
    /// With all connections idle, in bytes.
    after: u64,
}

impl Cost {
    fn of_each(&self) -> f64 {
        (self.after as f64 - self.before as f64) / CONNECTIONS as f64
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} bytes each", self.of_each())
    }
}

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let candidates = [
        Ok(tools.sockeye()),
        Ok(tools.sockeye_echo()),
        Ok(tools.tokio()),
        tools.go_echo(),
    ];
    let lineup = Lineup::try_out(candidates, arena)?;
    let title = format!("resident memory of {CONNECTIONS} idle connections");
    let outcome = arena.hold(&title, &lineup, |server, peer| {
        weigh(server, peer.answer, arena.stop)
    })?;
    let columns = [
        Column {
            head: "before",
            width: 7,
            decimals: 0,
            figure: &|entry| entry.median(|cost: &Cost| cost.before as f64 / 1024.0),
        },
        Column {
            head: "after",
            width: 9,
            decimals: 0,
            figure: &|entry| entry.median(|cost| cost.after as f64 / 1024.0),
        },
    ];
    let head = "bytes";
    let mut table = Table::new(title, head, 0, &outcome, Cost::of_each, &columns)
        .note("bytes of each connection; before and after all of them in KiB");
    for name in [SOCKEYE, SOCKEYE_ECHO] {
        let found = outcome.series(name, Cost::of_each);
        let what = format!("bytes of each, {name}");
        table = table.goal(Goal::new(what, found, Bound::AtMost(1024.0)));
    }
    report.add(table);
    Ok(())
}

fn weigh(server: &Server, answer: Answer, stop: &Stop) -> anyhow::Result<Cost> {
    let before = procfs::resident_bytes(server.pid())?;
    let idlers = Idlers::open(server, answer, stop)?;
    stop.sleep(SETTLE)?;
    let after = procfs::resident_bytes(server.pid())?;
    idlers.check()?;
    Ok(Cost { before, after })
}
