//! A few active connections, alone and among many idle ones.

use crate::client::AnswerKind;
use crate::contestants::Contestant;
use crate::goal::{Bound, Goal};
use crate::idlers::{CONNECTIONS, Idlers};
use crate::load::EchoLoad;
use crate::meter::WARM_UP;
use crate::percentiles::Percentiles;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable};
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::sliced_load::SlicedRun;
use crate::tools::Tools;
use anyhow::Context;
use std::time::{Duration, Instant};

const ACTIVE: usize = 16;

const ALONE: &str = "16 open";
const CROWDED: &str = "10000 others open";

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let mut add = |peer: &Contestant, goal: bool| {
        let title = format!("16 active connections of {}, 64 bytes", peer.name);
        let name = |&name: &&'static str| name;
        let results = harness.interleave(&title, &[CROWDED, ALONE], name, |&name| {
            CrowdRun::gather(peer, name == CROWDED, harness)
        })?;
        let columns = [ResultColumn {
            head: "p50/us",
            width: 7,
            decimals: 1,
            figure: &|entry| entry.median(|times: &Percentiles| times.p50),
        }];
        let tail = |times: &Percentiles| times.p99;
        let mut table = ResultsTable::new(title, "p99/us", 1, &results, tail, &columns);
        if goal {
            let found = results.ratios(CROWDED, ALONE, tail);
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
struct CrowdRun<'a> {
    idlers: Option<Idlers>,
    load: EchoLoad<'a>,
    times: Vec<Duration>,
    _server: RunningServer,
}

impl<'a> CrowdRun<'a> {
    fn gather(peer: &Contestant, is_large: bool, harness: &Harness<'a>) -> anyhow::Result<Self> {
        let server = RunningServer::start(peer, harness.directory, harness.interrupt)?;
        let idlers = if is_large {
            Some(Idlers::open(
                &server,
                CONNECTIONS,
                AnswerKind::Echo,
                harness.interrupt,
            )?)
        } else {
            None
        };
        let mut load = EchoLoad::connect(server.address(), ACTIVE, harness.interrupt)?;
        load.run_for(WARM_UP)?;
        Ok(Self {
            idlers,
            load,
            times: Vec::new(),
            _server: server,
        })
    }
}

impl SlicedRun for CrowdRun<'_> {
    type Result = Percentiles;

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
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

    fn finish(self) -> anyhow::Result<Percentiles> {
        self.idlers.map_or(Ok(()), |idlers| idlers.check())?;
        Percentiles::of(self.times).context("there was not one answer")
    }
}
