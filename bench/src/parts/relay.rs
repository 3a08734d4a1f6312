//! Relays between two UNIX sockets.

use crate::client::{self, AnswerKind, MESSAGE_SIZE};
use crate::comparison::Comparison;
use crate::contestants::{ClientWait, Contestant, Contestants, Missing};
use crate::cores;
use crate::goal::{Bound, Goal};
use crate::idlers::Idlers;
use crate::interrupt::Interrupt;
use crate::load::EchoLoad;
use crate::meter::{RateSample, WARM_UP};
use crate::peers::built;
use crate::percentiles::Percentiles;
use crate::procfs;
use crate::relay_target::{RelayTarget, RelayedPair};
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable};
use crate::round_trips::round_trips;
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::sliced_load::{SlicedLoad, SlicedRun};
use crate::stream_load::StreamLoad;
use crate::tools::Tools;
use anyhow::{Context, bail};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// A relay that passes fds.
pub(super) const PASSING: &str = "sockeye relay";
/// A relay whose clients cannot send fds.
const REFUSING: &str = "sockeye --fds refuse";
const SPLICE_IN_C: &str = "splice(2) in C";
pub(super) const COPY_IN_C: &str = "recv(2) in C";
const PASSING_IN_C: &str = "recvmsg(2) in C";
const SOCAT: &str = "socat";
const SOCAT_LARGE: &str = "socat -b 65536";

/// Connections at once.
const CONNECTIONS: usize = 1000;

/// Idle ones.
const PAIRS: usize = 3000;

/// A message for each of them that needs larger buffers than the first, and fits into a socket's.
const LONG: usize = 64 * 1024;

/// How long a relay may take to free memory once its connections are idle.
const SETTLE: Duration = Duration::from_millis(500);

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    stream(harness, tools, report)?;
    round_trip(harness, tools, report)?;
    crowd(harness, tools, report)?;
    idle(harness, tools, report)
}

/// What takes part. The socket of each relay stands between its arguments and its target.
pub(super) struct Relays<'a> {
    pub(super) tools: &'a Tools,
    pub(super) target: &'a Path,
}

impl Relays<'_> {
    pub(super) fn sockeye(&self) -> Result<Contestant, Missing> {
        let relay = Contestant::new(PASSING, &self.tools.sockeye, AnswerKind::Echo);
        Ok(relay.arguments(&["relay"]).handler(&[self.target]))
    }

    fn sockeye_refusing(&self) -> Result<Contestant, Missing> {
        let relay = Contestant::new(REFUSING, &self.tools.sockeye, AnswerKind::Echo);
        let relay = relay.arguments(&["relay", "--fds", "refuse"]);
        Ok(relay.handler(&[self.target]))
    }

    pub(super) fn in_c(&self, name: &'static str, mode: &str) -> Result<Contestant, Missing> {
        let relay = built(name, &self.tools.relay, AnswerKind::Echo)?;
        Ok(relay.arguments(&[mode]).handler(&[self.target]))
    }

    /// `script` gets the addresses as $0 and $1.
    fn socat(&self, name: &'static str, script: &str) -> Result<Contestant, Missing> {
        let relay = Contestant::new(name, "sh", AnswerKind::Echo);
        Ok(relay.arguments(&["-c", script]).handler(&[self.target]))
    }
}

/// Starts nothing: who fails in a round is missing.
pub(super) fn entered(
    candidates: impl IntoIterator<Item = Result<Contestant, Missing>>,
) -> Contestants {
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for candidate in candidates {
        match candidate {
            Ok(contestant) => present.push(contestant),
            Err(reason) => missing.push(reason),
        }
    }
    Contestants { present, missing }
}

pub(super) fn interleave<S: SlicedRun>(
    harness: &Harness<'_>,
    title: &str,
    contestants: Contestants,
    begin: impl Fn(&Contestant) -> anyhow::Result<S>,
) -> anyhow::Result<Comparison<S::Result>> {
    let Contestants { present, missing } = contestants;
    let mut results = harness.interleave(title, &present, |relay| relay.name, begin)?;
    results.missing.splice(..0, missing);
    Ok(results)
}

const SOCAT_ONCE: &str = "exec socat UNIX-LISTEN:$0 UNIX-CONNECT:$1";
const SOCAT_ONCE_LARGE: &str = "exec socat -b 65536 UNIX-LISTEN:$0 UNIX-CONNECT:$1";
const SOCAT_FORK: &str = "exec socat UNIX-LISTEN:$0,fork UNIX-CONNECT:$1";

/// One stream in one direction.
fn stream(harness: &Harness<'_>, tools: &Tools, report: &mut ResultsPage) -> anyhow::Result<()> {
    let target = RelayTarget::listen(harness.directory)?;
    let relays = Relays {
        tools,
        target: target.path(),
    };
    let refusing = [
        relays.sockeye_refusing(),
        relays.in_c(SPLICE_IN_C, "splice"),
        relays.socat(SOCAT, SOCAT_ONCE),
    ];
    let passing = [
        relays.sockeye(),
        relays.in_c(PASSING_IN_C, "fds"),
        relays.socat(SOCAT_LARGE, SOCAT_ONCE_LARGE),
    ];
    let mut compare = |title: &str, relays: [_; 3], goals: &[(&str, f64)]| {
        let results = interleave(harness, title, entered(relays), |relay| {
            join_stream(&target, relay, harness)
        })?;
        let ours = results.entries.first().map_or("", |entry| entry.name);
        let mut table = ResultsTable::of_rates(title, &results)
            .note("an operation is a MiB; gen is of two threads, one sends and one receives");
        for &(name, rate) in goals {
            let found = results.ratios(ours, name, |sample| sample.rate);
            let what = format!("rate to {name}");
            table = table.goal(Goal::new(what, found, Bound::AtLeast(rate)));
        }
        report.add(table);
        anyhow::Ok(())
    };
    compare(
        "relay, one stream, fds refused",
        refusing,
        &[(SPLICE_IN_C, 0.9), (SOCAT, 3.0)],
    )?;
    compare(
        "relay, one stream, fds passed",
        passing,
        &[(SOCAT_LARGE, 1.5)],
    )
}

/// A load of one stream through a relay.
pub(super) fn join_stream<'a>(
    target: &RelayTarget,
    relay: &Contestant,
    harness: &Harness<'a>,
) -> anyhow::Result<impl SlicedRun<Result = RateSample> + use<'a>> {
    let RelayedPair {
        client,
        target,
        relay,
    } = target.join(relay, harness)?;
    let mut load = StreamLoad::new(client, target, harness.interrupt)?;
    SlicedLoad::begin(relay, move |_, time| load.run_for(time))
}

/// One message at a time, all processes on one core.
fn round_trip(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let title = "relay, round trip, 64 bytes, one core";
    let target = RelayTarget::listen(harness.directory)?;
    let relays = Relays {
        tools,
        target: target.path(),
    };
    let contestants = entered([
        relays.sockeye_refusing(),
        relays.sockeye(),
        relays.socat(SOCAT, SOCAT_ONCE),
        relays.in_c(COPY_IN_C, "copy"),
        relays.in_c(PASSING_IN_C, "fds"),
        relays.in_c(SPLICE_IN_C, "splice"),
    ]);
    let results = cores::on_one(|| {
        interleave(harness, title, contestants, |relay| {
            RoundTripRun::begin(target.join(relay, harness)?, harness.interrupt)
        })
    })?;
    let columns = [ResultColumn {
        head: "p99/us",
        width: 7,
        decimals: 1,
        figure: &|entry| entry.median(|times: &Percentiles| times.p99),
    }];
    let median = |times: &Percentiles| times.p50;
    let mut table = ResultsTable::new(title, "p50/us", 2, &results, median, &columns);
    for (ours, most) in [(REFUSING, 0.8), (PASSING, 0.9)] {
        let found = results.ratios(ours, SOCAT, median);
        let what = format!("p50 of {ours} to {SOCAT}");
        table = table.goal(Goal::new(what, found, Bound::AtMost(most)));
    }
    report.add(table);
    Ok(())
}

/// A client of a relay, and a target that answers in a thread of its own.
struct RoundTripRun<'a> {
    client: OwnedFd,
    times: Vec<Duration>,
    interrupt: &'a Interrupt,
    _relay: RunningServer,
}

impl<'a> RoundTripRun<'a> {
    fn begin(pair: RelayedPair, interrupt: &'a Interrupt) -> anyhow::Result<Self> {
        let RelayedPair {
            client,
            target,
            relay,
        } = pair;
        // It ends with the relay.
        std::thread::spawn(move || echo(&target));
        let mut run = Self {
            client,
            times: Vec::new(),
            interrupt,
            _relay: relay,
        };
        run.run_for(WARM_UP)?;
        run.times.clear();
        Ok(run)
    }
}

impl SlicedRun for RoundTripRun<'_> {
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

fn echo(stream: &OwnedFd) -> anyhow::Result<()> {
    let mut buffer = [0; MESSAGE_SIZE];
    loop {
        match rustix::io::read(stream, &mut buffer)? {
            0 => return Ok(()),
            MESSAGE_SIZE => client::send(stream, &buffer)?,
            _ => bail!("a message came in pieces"),
        }
    }
}

/// The server that all connections of the relays lead to, and its path.
pub(super) fn echo_server(harness: &Harness<'_>, tools: &Tools) -> anyhow::Result<RunningServer> {
    let server = tools.epoll_loop().unwrap_or_else(|_| tools.tokio());
    RunningServer::start(&server, harness.directory, harness.interrupt)
}

/// Many connections at once.
fn crowd(harness: &Harness<'_>, tools: &Tools, report: &mut ResultsPage) -> anyhow::Result<()> {
    let target = echo_server(harness, tools)?;
    let relays = Relays {
        tools,
        target: target.path(),
    };
    let contestants = entered([
        relays.sockeye_refusing(),
        relays.sockeye(),
        relays.in_c(COPY_IN_C, "copy"),
        relays.in_c(PASSING_IN_C, "fds"),
        relays.socat("socat, fork", SOCAT_FORK),
    ]);
    let title = format!("relay, echo, 64 bytes, {CONNECTIONS} connections");
    let results = interleave(harness, &title, contestants, |relay| {
        let relay = RunningServer::start(relay, harness.directory, harness.interrupt)?;
        let mut load = EchoLoad::connect(relay.address(), CONNECTIONS, harness.interrupt)?;
        SlicedLoad::begin(relay, move |_, time| load.run_for(time))?.with_children()
    })?;
    report.add(ResultsTable::of_rates(title, &results));
    Ok(())
}

/// Resident memory of one relay in one round, in bytes.
struct RelayMemory {
    /// Before the first connection.
    before: u64,
    /// Once each connection has had one short message.
    after: u64,
    /// Once each has had a long one.
    after_traffic: u64,
}

impl RelayMemory {
    fn of_each(&self) -> f64 {
        (self.after as f64 - self.before as f64) / PAIRS as f64
    }

    fn of_each_after_traffic(&self) -> f64 {
        (self.after_traffic as f64 - self.before as f64) / PAIRS as f64
    }
}

impl fmt::Display for RelayMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [each, after_traffic] = [self.of_each(), self.of_each_after_traffic()];
        write!(f, "{each:.0} bytes each, {after_traffic:.0} after traffic")
    }
}

/// Memory of connections that do nothing.
fn idle(harness: &Harness<'_>, tools: &Tools, report: &mut ResultsPage) -> anyhow::Result<()> {
    let target = echo_server(harness, tools)?;
    let relays = Relays {
        tools,
        target: target.path(),
    };
    let contestants = entered([
        relays.sockeye_refusing(),
        relays.sockeye(),
        relays.in_c(SPLICE_IN_C, "splice"),
        relays.in_c(PASSING_IN_C, "fds"),
    ]);
    let title = format!("resident memory of a relay with {PAIRS} idle connections");
    let results = harness.compare(&title, &contestants, |relay, _| {
        weigh(relay, harness.interrupt)
    })?;
    let columns = [
        ResultColumn {
            head: "before",
            width: 7,
            decimals: 0,
            figure: &|entry| entry.median(|memory: &RelayMemory| memory.before as f64 / 1024.0),
        },
        ResultColumn {
            head: "after",
            width: 9,
            decimals: 0,
            figure: &|entry| entry.median(|memory| memory.after as f64 / 1024.0),
        },
        ResultColumn {
            head: "used",
            width: 6,
            decimals: 0,
            figure: &|entry| entry.median(RelayMemory::of_each_after_traffic),
        },
    ];
    let each = RelayMemory::of_each;
    let mut table = ResultsTable::new(title, "bytes", 0, &results, each, &columns)
        .note("bytes of each connection; before and after all in KiB; used: bytes of each\nafter 64 KiB on all at once, idle again");
    for name in [REFUSING, PASSING] {
        let found = results.spread(name, each);
        let what = format!("bytes of each, {name}");
        table = table.goal(Goal::new(what, found, Bound::AtMost(3072.0)));
    }
    report.add(table);
    Ok(())
}

fn weigh(relay: &RunningServer, interrupt: &Interrupt) -> anyhow::Result<RelayMemory> {
    let before = procfs::resident_bytes(relay.pid())?;
    let idlers = Idlers::open(relay, PAIRS, AnswerKind::Echo, interrupt)?;
    interrupt.sleep(SETTLE)?;
    let after = procfs::resident_bytes(relay.pid())?;
    idlers.exchange(LONG, interrupt)?;
    interrupt.sleep(SETTLE)?;
    let after_traffic = procfs::resident_bytes(relay.pid())?;
    idlers.check()?;
    Ok(RelayMemory {
        before,
        after,
        after_traffic,
    })
}
