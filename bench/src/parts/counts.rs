//! What can be counted, and so does not drift: one round is enough.

use crate::callgrind;
use crate::client::Answer;
use crate::contest::{Arena, Outcome};
use crate::exchange;
use crate::goal::{Bound, Goal};
use crate::lineup::Lineup;
use crate::load::Load;
use crate::peer::SOCKEYE_ECHO;
use crate::report::Report;
use crate::server::Server;
use crate::strace;
use crate::table::Table;
use crate::tools::Tools;

const MESSAGES: u64 = 20_000;
const CONVERSATIONS: u32 = 1000;

pub(crate) fn run(arena: &Arena<'_>, tools: &Tools, report: &mut Report) -> anyhow::Result<()> {
    let arena = &Arena {
        rounds: 1,
        ..*arena
    };
    let servers = [
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        Ok(tools.tokio()),
    ];
    let lineup = Lineup::try_out(servers.clone(), arena)?;
    let title = "system calls for one message, 256 connections";
    let outcome = or_missing("strace", arena, || {
        arena.hold(title, &lineup, |server, _| calls_of_message(server, arena))
    })?;
    let goal = Goal::new(
        SOCKEYE_ECHO,
        outcome.series(SOCKEYE_ECHO, |&calls| calls),
        Bound::AtMost(2.05),
    );
    report.add(table(title, "calls", 3, &outcome).goal(goal));

    let with_reply = [Ok(tools.sockeye())].into_iter().chain(servers);
    let lineup = Lineup::try_out(with_reply, arena)?;
    let title = "system calls for connect, request, answer, close";
    let outcome = or_missing("strace", arena, || {
        arena.hold(title, &lineup, |server, peer| {
            calls_of_conversation(server, peer.answer, arena)
        })
    })?;
    report.add(table(title, "calls", 2, &outcome));

    let servers = [
        Ok(tools.sockeye_echo()),
        tools.epoll_loop(),
        Ok(tools.tokio_current_thread()),
    ];
    let lineup = Lineup::try_out(servers, arena)?;
    let title = "instructions for one message, 16 connections";
    let outcome = or_missing("valgrind", arena, || {
        arena.hold_unstarted(title, &lineup, |peer| {
            callgrind::count_instructions(peer, arena)
        })
    })?;
    report.add(table(title, "count", 0, &outcome).note("in user space only"));
    Ok(())
}

/// There need not be a `tool` here, and it need not be permitted.
fn or_missing(
    tool: &str,
    arena: &Arena<'_>,
    count: impl FnOnce() -> anyhow::Result<Outcome<f64>>,
) -> anyhow::Result<Outcome<f64>> {
    count().or_else(|error| {
        arena.stop.check()?;
        Ok(Outcome::without(tool, &error))
    })
}

fn table(title: &str, head: &str, decimals: usize, outcome: &Outcome<f64>) -> Table {
    Table::new(title, head, decimals, outcome, |&count| count, &[])
}

fn calls_of_message(server: &Server, arena: &Arena<'_>) -> anyhow::Result<f64> {
    let mut load = Load::connect(server.address(), 256, arena.stop)?;
    // Connected is not accepted; with an answer it is.
    load.run(|_| false, |_| {})?;
    let mut messages = 0;
    let calls = strace::count_calls(server, arena, || {
        messages = load.run(|answers| answers < MESSAGES, |_| {})?;
        Ok(())
    })?;
    Ok(calls as f64 / messages as f64)
}

fn calls_of_conversation(
    server: &Server,
    answer: Answer,
    arena: &Arena<'_>,
) -> anyhow::Result<f64> {
    let calls = strace::count_calls(server, arena, || {
        for _ in 0..CONVERSATIONS {
            arena.stop.check()?;
            exchange::converse(server, answer)?;
        }
        Ok(())
    })?;
    Ok(calls as f64 / f64::from(CONVERSATIONS))
}
