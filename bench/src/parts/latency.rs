//! One message at a time between two cores.

use crate::client::{self, Answer, MESSAGE_SIZE, PATIENCE};
use crate::contest::{Arena, Outcome};
use crate::cores::Cores;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::meter::WARM_UP;
use crate::peer::{EPOLL_LOOP, SOCKEYE_ECHO, TOKIO, Waiting, built};
use crate::percentiles::Percentiles;
use crate::report::Report;
use crate::server::Server;
use crate::stop::Stop;
use crate::table::{Column, Table};
use crate::tools::Tools;
use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use sockeye::BusyPoll;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const POLLING: &str = "sockeye --busy-poll";
/// Of the client; the server's is in its arguments.
const POLLING_TIME: Duration = Duration::from_micros(100);

const SPINNING: &str = "spin loop in C";

/// Whose median to whose, at most.
const GOALS: [(&str, &str, f64); 3] = [
    (POLLING, SPINNING, 1.5),
    (POLLING, TOKIO, 0.2),
    (SOCKEYE_ECHO, EPOLL_LOOP, 1.05),
];

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let title = "round trip, 64 bytes, one connection, two cores";
    let polling = tools.sockeye_echo().named(POLLING);
    let polling = polling.arguments(&["--busy-poll", "100us"]);
    let candidates = [
        Ok(polling.waiting(Waiting::BusyPoll)),
        built(SPINNING, &tools.spin_echo, Answer::Echo).map(|peer| peer.waiting(Waiting::Spinning)),
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        tools.epoll_loop_on_tcp(),
        Ok(tools.tokio()),
    ];
    let lineup = Lineup::try_out(candidates, arena)?;
    let outcome = match Cores::find() {
        Ok(cores) => arena.hold_unstarted(title, &lineup, |peer| {
            cores.apart(
                || Server::start(peer, arena.directory, arena.stop),
                |server| measure(&server, peer.waiting, arena),
            )
        })?,
        Err(reason) => Outcome::without("a core for each side", &reason),
    };
    let columns = [Column {
        head: "p99/us",
        width: 7,
        decimals: 1,
        figure: &|entry| entry.median(|times: &Percentiles| times.p99),
    }];
    let median = |times: &Percentiles| times.p50;
    let mut table = Table::new(title, "p50/us", 2, &outcome, median, &columns)
        .note("in the first two both sides poll all the time; in the others both sleep");
    for (ours, theirs, most) in GOALS {
        let found = outcome.ratios(ours, theirs, median);
        let what = format!("p50 of {ours} to {theirs}");
        table = table.goal(Goal::new(what, found, Bound::AtMost(most)));
    }
    report.add(table);
    Ok(())
}

fn measure(server: &Server, waiting: Waiting, arena: &Arena<'_>) -> anyhow::Result<Percentiles> {
    let stream = client::connect(server.address()).context("cannot connect")?;
    round_trips(&stream, waiting, WARM_UP, arena.stop)?;
    let times = round_trips(&stream, waiting, arena.turn, arena.stop)?;
    Percentiles::of(times).context("there was not one answer")
}

fn round_trips(
    stream: &OwnedFd,
    waiting: Waiting,
    duration: Duration,
    stop: &Stop,
) -> anyhow::Result<Vec<Duration>> {
    let message = client::message(0);
    let mut busy_poll = BusyPoll::new(POLLING_TIME);
    let mut times = Vec::new();
    let end = Instant::now() + duration;
    loop {
        stop.check()?;
        let mut buffer = [0; MESSAGE_SIZE];
        let sent = Instant::now();
        if sent >= end {
            return Ok(times);
        }
        client::send(stream, &message)?;
        let received = match waiting {
            Waiting::Asleep => client::receive(stream, &mut buffer)?,
            Waiting::Spinning => receive_spinning(stream, &mut buffer, sent)?,
            Waiting::BusyPoll => {
                busy_poll.wait(stream)?;
                client::receive(stream, &mut buffer)?
            }
        };
        times.push(sent.elapsed());
        ensure!(received == MESSAGE_SIZE, "an answer came in pieces");
        client::check_answer(&buffer, &message)?;
    }
}

fn receive_spinning(
    stream: &OwnedFd,
    buffer: &mut [u8; MESSAGE_SIZE],
    since: Instant,
) -> anyhow::Result<usize> {
    loop {
        match rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((n, _)) => return Ok(n),
            Err(Errno::AGAIN) if since.elapsed() < PATIENCE => {}
            Err(Errno::AGAIN) => bail!("no answer within {PATIENCE:?}"),
            Err(error) => return Err(error).context("no answer"),
        }
    }
}
