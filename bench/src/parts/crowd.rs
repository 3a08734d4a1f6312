//! A few active connections, alone and among many idle ones.

use crate::client::Answer;
use crate::contest::Arena;
use crate::goal::{Bound, Goal};
use crate::idlers::Idlers;
use crate::load::Load;
use crate::meter::WARM_UP;
use crate::percentiles::Percentiles;
use crate::report::Report;
use crate::server::Server;
use crate::table::{Column, Table};
use crate::tools::Tools;
use anyhow::Context;
use std::time::Instant;

const ACTIVE: usize = 16;

const ALONE: &str = "16 open";
const CROWDED: &str = "10000 others open";

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let title = "16 active connections of serve --echo, 64 bytes";
    let name = |&name: &&'static str| name;
    let outcome = arena.take_turns(title, &[CROWDED, ALONE], name, |&name| {
        let server = Server::start(&tools.sockeye_echo(), arena.directory, arena.stop)?;
        let idlers = match name {
            CROWDED => Some(Idlers::open(&server, Answer::Echo, arena.stop)?),
            _ => None,
        };
        let times = measure(&server, arena)?;
        idlers.map_or(Ok(()), |idlers| idlers.check())?;
        Ok(times)
    })?;
    let columns = [Column {
        head: "p50/us",
        width: 7,
        decimals: 1,
        figure: &|entry| entry.median(|times: &Percentiles| times.p50),
    }];
    let tail = |times: &Percentiles| times.p99;
    let found = outcome.ratios(CROWDED, ALONE, tail);
    let goal = Goal::new("p99 in a crowd to alone", found, Bound::AtMost(1.2));
    report.add(Table::new(title, "p99/us", 1, &outcome, tail, &columns).goal(goal));
    Ok(())
}

fn measure(server: &Server, arena: &Arena<'_>) -> anyhow::Result<Percentiles> {
    let mut load = Load::connect(server.address(), ACTIVE, arena.stop)?;
    load.run_for(WARM_UP)?;
    let start = Instant::now();
    let end = start + arena.turn;
    // When the message in flight on each connection was sent: with the answer to the one before.
    let mut sent = [start; ACTIVE];
    let mut times = Vec::new();
    load.run(
        |_| Instant::now() < end,
        |connection| {
            let now = Instant::now();
            times.push(now - std::mem::replace(&mut sent[connection], now));
        },
    )?;
    Percentiles::of(times).context("there was not one answer")
}
