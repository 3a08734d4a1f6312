//! Connect, and have a program started that answers.

use crate::client::Answer;
use crate::contest::Arena;
use crate::exchange;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::peer::{Peer, SOCKEYE, built};
use crate::report::Report;
use crate::table::Table;
use crate::tools::Tools;

/// To whom, and the rate.
const GOALS: [(&str, f64); 2] = [("s6-ipcserver", 1.0), ("socat", 1.5)];

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let peer = |name, program: &str| Peer::new(name, program, Answer::Echo);
    let candidates = [
        Ok(Peer::new(SOCKEYE, &tools.sockeye, Answer::Echo)
            .arguments(&["serve"])
            .handler(&["--", "/bin/cat"])),
        Ok(peer("s6-ipcserver", "s6-ipcserver").handler(&["/bin/cat"])),
        Ok(peer("socat", "sh").arguments(&["-c", "exec socat UNIX-LISTEN:$0,fork EXEC:/bin/cat"])),
        Ok(peer("ncat", "ncat")
            .arguments(&["-lkU"])
            .handler(&["--exec", "/bin/cat"])),
        built("posix_spawn in C", &tools.spawn_loop, Answer::Echo)
            .map(|peer| peer.handler(&["/bin/cat"])),
    ];
    let lineup = Lineup::try_out(candidates, arena)?;
    for clients in [1, 4] {
        let title = format!("a program (/bin/cat) for each connection, clients: {clients}");
        let outcome = arena.hold_rates(&title, &lineup, |_, peer| {
            Ok(exchange::with(peer.answer, clients, arena.stop))
        })?;
        let mut table = Table::of_rates(title, &outcome);
        for (name, rate) in GOALS {
            let found = outcome.ratios(SOCKEYE, name, |sample| sample.rate);
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
