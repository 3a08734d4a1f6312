//! What `--busy-poll` costs where it does not help.

use crate::client::{self, Answer};
use crate::contest::Arena;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::load::{self, Load};
use crate::peer::SOCKEYE_ECHO;
use crate::procfs;
use crate::report::Report;
use crate::series::Series;
use crate::server::Server;
use crate::table::{Column, Table};
use crate::tools::Tools;
use anyhow::Context;
use std::fmt;
use std::time::{Duration, Instant};

const POLLING: &str = "sockeye --busy-poll";

/// Longer than the server polls.
const PAUSE: Duration = Duration::from_micros(500);

/// A server with little to do.
struct Cost {
    /// Processor time with connections that do nothing, in percent of a core.
    idle: f64,
    /// Processor time for a request that comes late, in microseconds.
    late: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "idle {:.3}%; {:.2} us a request", self.idle, self.late)
    }
}

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let lineup = |time| {
        let polling = tools.sockeye_echo().named(POLLING);
        let polling = polling.arguments(&["--busy-poll", time]);
        Lineup::try_out([Ok(polling), Ok(tools.sockeye_echo())], arena)
    };
    let short = lineup("50us")?;
    for connections in [16, 256] {
        let title = format!("echo with --busy-poll 50us, 64 bytes, {connections} connections");
        let outcome = arena.hold_rates(&title, &short, |server, _| {
            load::on(server, connections, arena.stop)
        })?;
        let found = outcome.ratios(POLLING, SOCKEYE_ECHO, |sample| sample.rate);
        let goal = Goal::new("rate to the same without", found, Bound::AtLeast(0.95));
        report.add(Table::of_rates(title, &outcome).goal(goal));
    }

    let title = "little to do with --busy-poll 100us";
    let outcome = arena.hold(title, &lineup("100us")?, |server, _| weigh(server, arena))?;
    let columns = [Column {
        head: "idle/%",
        width: 7,
        decimals: 3,
        figure: &|entry| entry.median(|cost: &Cost| cost.idle),
    }];
    let late = |cost: &Cost| cost.late;
    let mut extra = None;
    if let [polling, sleeping] = &outcome.entries[..] {
        let pairs = polling.results.iter().zip(&sleeping.results);
        extra = Series::new(pairs.map(|(a, b)| a.late - b.late).collect());
    }
    let table = Table::new(title, "us", 2, &outcome, late, &columns)
        .note("us: processor time for each of requests that are 0.5 ms apart")
        .goal(Goal::new(
            "processor time while idle, percent",
            outcome.series(POLLING, |cost| cost.idle),
            Bound::AtMost(1.0),
        ))
        .goal(Goal::new(
            "processor time more for a late request, us",
            extra,
            Bound::AtMost(50.0),
        ));
    report.add(table);
    Ok(())
}

fn weigh(server: &Server, arena: &Arena<'_>) -> anyhow::Result<Cost> {
    let mut load = Load::connect(server.address(), 16, arena.stop)?;
    load.run(|_| false, |_| {})?;
    // The last answer is not the last that the server does.
    arena.stop.sleep(Duration::from_millis(100))?;
    let (start, before) = (Instant::now(), procfs::cpu_time(server.pid())?);
    arena.stop.sleep(arena.turn)?;
    let used = procfs::cpu_time(server.pid())?.saturating_sub(before);
    let idle = used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;

    let stream = client::connect(server.address()).context("cannot connect")?;
    let message = client::message(0);
    let before = procfs::cpu_time(server.pid())?;
    let end = Instant::now() + arena.turn;
    let mut requests = 0;
    while Instant::now() < end {
        arena.stop.check()?;
        client::send(&stream, &message)?;
        client::read_answer(&stream, Answer::Echo, &message)?;
        requests += 1;
        std::thread::sleep(PAUSE);
    }
    let used = procfs::cpu_time(server.pid())?.saturating_sub(before);
    let late = used.as_secs_f64() * 1e6 / f64::from(requests);
    Ok(Cost { idle, late })
}
