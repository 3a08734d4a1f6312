//! Short connections in sequence: connect, send a line, half-close, read to EOF, close.

use crate::client::{self, AnswerKind, MESSAGE_SIZE};
use crate::interrupt::Interrupt;
#[cfg(doc)]
use crate::rounds::Harness;
use crate::server::RunningServer;
use anyhow::{Context, bail};
use rustix::net::Shutdown;
use std::time::{Duration, Instant};

/// Runs exchanges in sequence in each of `clients` threads, for [`Harness::compare_rates`].
pub(crate) fn with(
    answer: AnswerKind,
    clients: usize,
    interrupt: &Interrupt,
) -> impl FnMut(&RunningServer, Duration) -> anyhow::Result<u64> {
    move |server, time| run_all(server, answer, clients, time, interrupt)
}

fn run_all(
    server: &RunningServer,
    answer: AnswerKind,
    clients: usize,
    duration: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<u64> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| run(server, answer, duration, interrupt)))
            .collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a client panicked"),
        });
        results.sum()
    })
}

fn run(
    server: &RunningServer,
    answer: AnswerKind,
    duration: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<u64> {
    let end = Instant::now() + duration;
    let mut exchanges = 0;
    while Instant::now() < end {
        interrupt.check()?;
        converse(server, answer)?;
        exchanges += 1;
    }
    Ok(exchanges)
}

/// One exchange.
pub(crate) fn converse(server: &RunningServer, answer: AnswerKind) -> anyhow::Result<()> {
    let message = client::message(0);
    let expected = answer.to_message(&message);
    let stream = client::connect(server.address()).context("cannot connect")?;
    client::send(&stream, &message)?;
    rustix::net::shutdown(&stream, Shutdown::Write).context("cannot half-close")?;
    let mut buffer = [0; 2 * MESSAGE_SIZE];
    let mut filled = 0;
    loop {
        match client::receive(&stream, &mut buffer[filled..])? {
            0 if filled == 0 => bail!("no answer after the half-close"),
            0 if filled == buffer.len() => bail!("the answer has no end"),
            0 => return client::check_answer(&buffer[..filled], expected),
            n => filled += n,
        }
    }
}
