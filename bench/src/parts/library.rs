//! Servers that are written with the library, beside the same on plain tokio with as many workers.

use crate::chat_load::ChatLoad;
use crate::client::AnswerKind;
use crate::contestants::Contestant;
use crate::goal::{Bound, Goal};
use crate::interrupt::Interrupt;
use crate::load;
use crate::peers::TOKIO;
use crate::procfs;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable, processor_times_at_the_limit};
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::tools::Tools;
use std::fmt;
use std::time::Duration;

const LIBRARY: &str = "library";
const LIBRARY_LINES: &str = "library, Messages";
const LIBRARY_BUILT_IN: &str = "library, echo()";

/// In the chat whose memory is measured.
const CLIENTS: usize = 1000;

/// How long a server may take to free memory once its clients are silent.
const SETTLE: Duration = Duration::from_millis(500);

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    echo(harness, tools, report)?;
    chat(harness, tools, report)
}

fn echo(harness: &Harness<'_>, tools: &Tools, report: &mut ResultsPage) -> anyhow::Result<()> {
    let library = |name, handler| {
        Ok(Contestant::new(name, &tools.library_echo, AnswerKind::Echo).arguments(&[handler]))
    };
    let contestants = harness.try_out([
        library(LIBRARY, "bytes"),
        Ok(tools.tokio()),
        library(LIBRARY_LINES, "lines"),
        library(LIBRARY_BUILT_IN, "built-in"),
    ])?;
    for connections in [16, 256] {
        let title = format!("echo in a handler, 64 bytes, {connections} connections");
        let results = harness.compare_rates(&title, &contestants, |server, _| {
            load::on(server, connections, harness.interrupt)
        })?;
        let found = results.ratios(LIBRARY, TOKIO, |sample| sample.rate);
        let instead = processor_times_at_the_limit(&results, LIBRARY, TOKIO);
        let goal = Goal::new(format!("rate to {TOKIO}"), found, Bound::AtLeast(1.1));
        let goal = goal.or_processor_time(instead, Bound::AtMost(0.91));
        report.add(ResultsTable::of_rates(title, &results).goal(goal));
    }
    Ok(())
}

fn chat(harness: &Harness<'_>, tools: &Tools, report: &mut ResultsPage) -> anyhow::Result<()> {
    let contestants = harness.try_out([
        Ok(Contestant::new(
            LIBRARY,
            &tools.library_chat,
            AnswerKind::Echo,
        )),
        Ok(Contestant::new(TOKIO, &tools.tokio_chat, AnswerKind::Echo)),
    ])?;
    for clients in [200, CLIENTS] {
        let title = format!("chat, 64 bytes, {clients} clients");
        let results = harness.compare_rates(&title, &contestants, |server, _| {
            let mut load = ChatLoad::join(server.address(), clients, harness.interrupt)?;
            Ok(move |_: &RunningServer, time| load.run_for(time))
        })?;
        let found = results.ratios(LIBRARY, TOKIO, |sample| sample.rate);
        let instead = processor_times_at_the_limit(&results, LIBRARY, TOKIO);
        let goal = Goal::new(format!("rate to {TOKIO}"), found, Bound::AtLeast(1.0));
        let goal = goal.or_processor_time(instead, Bound::AtMost(1.0));
        let note = "an operation is the delivery of a line to a client";
        report.add(
            ResultsTable::of_rates(title, &results)
                .note(note)
                .goal(goal),
        );
    }
    let title = format!("resident memory of a chat, {CLIENTS} clients");
    let results = harness.compare(&title, &contestants, |server, _| {
        weigh(server, harness.interrupt)
    })?;
    let columns = [
        ResultColumn {
            head: "before",
            width: 7,
            decimals: 0,
            figure: &|entry| entry.median(|cost: &ChatMemory| cost.before as f64 / 1024.0),
        },
        ResultColumn {
            head: "each",
            width: 7,
            decimals: 0,
            figure: &|entry| entry.median(ChatMemory::of_each),
        },
    ];
    let found = results.ratios(LIBRARY, TOKIO, ChatMemory::kib);
    let goal = Goal::new(format!("memory to {TOKIO}"), found, Bound::AtMost(0.5));
    let table = ResultsTable::new(title, "KiB", 0, &results, ChatMemory::kib, &columns)
        .note("KiB in all and before the first client; bytes of each client")
        .goal(goal);
    report.add(table);
    Ok(())
}

/// Resident memory of one server in one round, in bytes.
struct ChatMemory {
    /// Before the first client.
    before: u64,
    /// Once all have joined.
    after: u64,
}

impl ChatMemory {
    fn of_each(&self) -> f64 {
        (self.after as f64 - self.before as f64) / CLIENTS as f64
    }

    fn kib(&self) -> f64 {
        self.after as f64 / 1024.0
    }
}

impl fmt::Display for ChatMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} KiB", self.kib())
    }
}

fn weigh(server: &RunningServer, interrupt: &Interrupt) -> anyhow::Result<ChatMemory> {
    let before = procfs::resident_bytes(server.pid())?;
    let mut load = ChatLoad::join(server.address(), CLIENTS, interrupt)?;
    interrupt.sleep(SETTLE)?;
    let after = procfs::resident_bytes(server.pid())?;
    // They are all still there.
    load.run_for(Duration::from_millis(1))?;
    Ok(ChatMemory { before, after })
}
