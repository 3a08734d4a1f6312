//! Counts, which do not drift: one round is enough.

use crate::callgrind;
use crate::client::AnswerKind;
use crate::comparison::Comparison;
use crate::exchange;
use crate::goal::{Bound, Goal};
use crate::load::EchoLoad;
use crate::peers::SOCKEYE_ECHO;
use crate::results_page::ResultsPage;
use crate::results_table::ResultsTable;
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::strace;
use crate::tools::Tools;

const MESSAGES: u64 = 20_000;
const CONVERSATIONS: u32 = 1000;

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let harness = &Harness {
        rounds: 1,
        ..*harness
    };
    let servers = [
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        Ok(tools.tokio()),
    ];
    let contestants = harness.try_out(servers.clone())?;
    let title = "system calls for one message, 256 connections";
    let results = or_missing("strace", harness, || {
        harness.compare(title, &contestants, |server, _| {
            calls_of_message(server, harness)
        })
    })?;
    let goal = Goal::new(
        SOCKEYE_ECHO,
        results.spread(SOCKEYE_ECHO, |&calls| calls),
        Bound::AtMost(2.05),
    );
    report.add(table(title, "calls", 3, &results).goal(goal));

    let with_reply = [Ok(tools.sockeye())].into_iter().chain(servers);
    let contestants = harness.try_out(with_reply)?;
    let title = "system calls for connect, request, answer, close";
    let results = or_missing("strace", harness, || {
        harness.compare(title, &contestants, |server, peer| {
            calls_of_exchange(server, peer.answer, harness)
        })
    })?;
    report.add(table(title, "calls", 2, &results));

    let servers = [
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        Ok(tools.tokio_current_thread()),
    ];
    let contestants = harness.try_out(servers)?;
    let title = "instructions for one message, 16 connections";
    let results = or_missing("valgrind", harness, || {
        harness.compare_unstarted(title, &contestants, |peer| {
            callgrind::count_instructions(peer, harness)
        })
    })?;
    report.add(table(title, "count", 0, &results).note("in user space only"));
    Ok(())
}

/// `tool` may be missing, or not permitted.
fn or_missing(
    tool: &str,
    harness: &Harness<'_>,
    count: impl FnOnce() -> anyhow::Result<Comparison<f64>>,
) -> anyhow::Result<Comparison<f64>> {
    count().or_else(|error| {
        harness.interrupt.check()?;
        Ok(Comparison::without(tool, &error))
    })
}

fn table(title: &str, head: &str, decimals: usize, results: &Comparison<f64>) -> ResultsTable {
    ResultsTable::new(title, head, decimals, results, |&count| count, &[])
}

fn calls_of_message(server: &RunningServer, harness: &Harness<'_>) -> anyhow::Result<f64> {
    let mut load = EchoLoad::connect(server.address(), 256, harness.interrupt)?;
    // Connected is not accepted; with an answer it is.
    load.run(|_| false, |_| {})?;
    let mut messages = 0;
    let calls = strace::count_calls(server, harness, || {
        messages = load.run(|answers| answers < MESSAGES, |_| {})?;
        Ok(())
    })?;
    Ok(calls as f64 / messages as f64)
}

fn calls_of_exchange(
    server: &RunningServer,
    answer: AnswerKind,
    harness: &Harness<'_>,
) -> anyhow::Result<f64> {
    let calls = strace::count_calls(server, harness, || {
        for _ in 0..CONVERSATIONS {
            harness.interrupt.check()?;
            exchange::converse(server, answer)?;
        }
        Ok(())
    })?;
    Ok(calls as f64 / f64::from(CONVERSATIONS))
}
