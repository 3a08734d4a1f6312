//! A few active connections, alone and among many idle ones.

use crate::client::Answer;
use crate::contest::{Arena, Stint};
use crate::goal::{Bound, Goal};
use crate::idlers::Idlers;
use crate::load::Load;
use crate::meter::WARM_UP;
use crate::peer::Peer;
use crate::percentiles::Percentiles;
use crate::report::Report;
use crate::server::Server;
use crate::table::{Column, Table};
use crate::tools::Tools;
use anyhow::Context;
use std::time::{Duration, Instant};

const ACTIVE: usize = 16;

const ALONE: &str = "16 open";
const CROWDED: &str = "10000 others open";

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let mut add = |peer: &Peer, goal: bool| {
        let title = format!("16 active connections of {}, 64 bytes", peer.name);
        let name = |&name: &&'static str| name;
        let outcome = arena.alternate(&title, &[CROWDED, ALONE], name, |&name| {
            Crowd::gather(peer, name == CROWDED, arena)
        })?;
        let columns = [Column {
            head: "p50/us",
            width: 7,
            decimals: 1,
            figure: &|entry| entry.median(|times: &Percentiles| times.p50),
        }];
        let tail = |times: &Percentiles| times.p99;
        let mut table = Table::new(title, "p99/us", 1, &outcome, tail, &columns);
        if goal {
            let found = outcome.ratios(CROWDED, ALONE, tail);
            table = table.goal(Goal::new(
                "p99 in a crowd to alone",
                found,
                Bound::AtMost(1.2),
            ));
        }
        report.add(table);
        anyhow::Ok(())
    };
    add(&tools.sockeye_echo(), true)?;
    if let Ok(peer) = tools.epoll_loop() {
        add(&peer, false)?;
    }
    Ok(())
}

/// A server with its clients.
struct Crowd<'a> {
    idlers: Option<Idlers>,
    load: Load<'a>,
    times: Vec<Duration>,
    _server: Server,
}

impl<'a> Crowd<'a> {
    fn gather(peer: &Peer, is_large: bool, arena: &Arena<'a>) -> anyhow::Result<Self> {
        let server = Server::start(peer, arena.directory, arena.stop)?;
        let idlers = match is_large {
            true => Some(Idlers::open(&server, Answer::Echo, arena.stop)?),
            false => None,
        };
        let mut load = Load::connect(server.address(), ACTIVE, arena.stop)?;
        load.run_for(WARM_UP)?;
        Ok(Self {
            idlers,
            load,
            times: Vec::new(),
            _server: server,
        })
    }
}

impl Stint for Crowd<'_> {
    type Result = Percentiles;

    fn go_on(&mut self, time: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let end = start + time;
        // When the message in flight on each connection was sent: with the answer to the one before.
        let mut sent = [start; ACTIVE];
        self.load.run(
            |_| Instant::now() < end,
            |connection| {
                let now = Instant::now();
                let time = now - std::mem::replace(&mut sent[connection], now);
                self.times.push(time);
            },
        )?;
        Ok(())
    }

    fn end(self) -> anyhow::Result<Percentiles> {
        self.idlers.map_or(Ok(()), |idlers| idlers.check())?;
        Percentiles::of(self.times).context("there was not one answer")
    }
}
