//! A tap that records, beside relays and strace.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use super::relay::{COPY_IN_C, PASSING, Relays, echo_server, entered, interleave, join_stream};
use crate::client::{self, AnswerKind};
use crate::contestants::{ClientWait, Contestant, Missing};
use crate::cores;
use crate::goal::{Bound, Goal};
use crate::interrupt::Interrupt;
use crate::meter::WARM_UP;
use crate::percentiles::Percentiles;
use crate::relay_target::RelayTarget;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable};
use crate::round_trips::round_trips;
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::sliced_load::SlicedRun;
use crate::tools::Tools;
use anyhow::Context;

const TO_FILE: &str = "sockeye tap --record";
const TO_NULL: &str = "the same, /dev/null";
/// As a relay does it: the server sees the tap. As root it sees the clients otherwise, and each message
/// carries the credentials of its sender.
const AS_TAP: &str = "--credentials tap";
const DIRECT: &str = "without any";
const RECORDING_IN_C: &str = "recording in C";
const TRACED: &str = "strace -e network";

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    // Emptied by each tap.
    let file = tempfile::tempdir_in(harness.directory)?.keep();
    let file = file.join("recording");
    round_trip(harness, tools, &file, report)?;
    stream(harness, tools, &file, report)
}

fn tap(
    relays: &Relays<'_>,
    name: &'static str,
    options: &[&str],
    recording: &Path,
) -> Result<Contestant, Missing> {
    let tap = Contestant::new(name, &relays.tools.sockeye, AnswerKind::Echo);
    let recording = recording.to_string_lossy();
    let tap = tap.arguments(&["tap", "--quiet"]).arguments(options);
    let tap = tap.arguments(&["--record", &recording, "--listen"]);
    Ok(tap.handler(&[relays.target]))
}

fn recording_in_c(relays: &Relays<'_>, recording: &Path) -> Result<Contestant, Missing> {
    let recording = recording.with_extension("c");
    let mode = format!("record={}", recording.display());
    relays.in_c(RECORDING_IN_C, &mode)
}

/// The server itself, with each of its calls traced.
fn traced(tools: &Tools) -> Result<Contestant, Missing> {
    let server = tools.epoll_loop()?;
    let server = server.program.to_string_lossy();
    let strace = Contestant::new(TRACED, "strace", AnswerKind::Echo);
    Ok(strace.arguments(&["-f", "-e", "trace=network", "-o", "/dev/null", &server]))
}

/// One message at a time, all processes on one core.
fn round_trip(
    harness: &Harness<'_>,
    tools: &Tools,
    file: &Path,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let title = "tap, round trip, 64 bytes, one core";
    // They run side by side.
    let other_file = file.with_extension("tap");
    let results = cores::on_one(|| {
        let target = echo_server(harness, tools)?;
        let relays = Relays {
            tools,
            target: target.path(),
        };
        let contestants = entered([
            tap(&relays, TO_FILE, &[], file),
            tap(&relays, AS_TAP, &["--credentials", "tap"], &other_file),
            tap(&relays, TO_NULL, &[], Path::new("/dev/null")),
            relays.sockeye(),
            tools.epoll_loop().map(|server| server.named(DIRECT)),
            relays.in_c(COPY_IN_C, "copy"),
            recording_in_c(&relays, file),
            traced(tools),
        ]);
        interleave(harness, title, contestants, |server| {
            ServerRoundTrips::begin(server, harness)
        })
    })?;
    let columns = [ResultColumn {
        head: "p99/us",
        width: 7,
        decimals: 1,
        figure: &|entry| entry.median(|times: &Percentiles| times.p99),
    }];
    let median = |times: &Percentiles| times.p50;
    let mut table = ResultsTable::new(title, "p50/us", 2, &results, median, &columns)
        .note("to one echo server in C; strace traces that server, with no relay in front");
    for ours in [TO_FILE, AS_TAP] {
        for (other, most) in [(PASSING, 1.2), (DIRECT, 3.0), (TRACED, 0.45)] {
            let found = results.ratios(ours, other, median);
            let what = format!("p50 of {ours} to {other}");
            table = table.goal(Goal::new(what, found, Bound::AtMost(most)));
        }
    }
    report.add(table);
    Ok(())
}

/// A client of one server.
struct ServerRoundTrips<'a> {
    client: OwnedFd,
    times: Vec<Duration>,
    interrupt: &'a Interrupt,
    _server: RunningServer,
}

impl<'a> ServerRoundTrips<'a> {
    fn begin(server: &Contestant, harness: &Harness<'a>) -> anyhow::Result<Self> {
        let server = RunningServer::start(server, harness.directory, harness.interrupt)?;
        let client = client::connect(server.address()).context("cannot connect")?;
        let mut run = Self {
            client,
            times: Vec::new(),
            interrupt: harness.interrupt,
            _server: server,
        };
        run.run_for(WARM_UP)?;
        run.times.clear();
        Ok(run)
    }
}

impl SlicedRun for ServerRoundTrips<'_> {
    type Result = Percentiles;

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let times = round_trips(&self.client, ClientWait::Asleep, time, self.interrupt)?;
        self.times.extend(times);
        Ok(())
    }

    fn finish(self) -> anyhow::Result<Percentiles> {
        Percentiles::of(self.times).context("there was not one answer")
    }
}

/// One stream in one direction.
fn stream(
    harness: &Harness<'_>,
    tools: &Tools,
    file: &Path,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let title = "tap, one stream";
    let target = RelayTarget::listen(harness.directory)?;
    let relays = Relays {
        tools,
        target: target.path(),
    };
    let contestants = entered([
        tap(&relays, TO_FILE, &[], file),
        tap(&relays, TO_NULL, &[], Path::new("/dev/null")),
        relays.sockeye(),
        relays.in_c(COPY_IN_C, "copy"),
        recording_in_c(&relays, file),
    ]);
    let results = interleave(harness, title, contestants, |relay| {
        join_stream(&target, relay, harness)
    })?;
    let mut table = ResultsTable::of_rates(title, &results)
        .note("an operation is a MiB; gen is of two threads, one sends and one receives");
    for (ours, least) in [(TO_FILE, 0.35), (TO_NULL, 0.7)] {
        let found = results.ratios(ours, PASSING, |sample| sample.rate);
        let what = format!("rate of {ours} to {PASSING}");
        table = table.goal(Goal::new(what, found, Bound::AtLeast(least)));
    }
    report.add(table);
    Ok(())
}
