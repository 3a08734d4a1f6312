//! Counts the instructions of a server, in user space only.

use crate::contestants::Contestant;
use crate::load::EchoLoad;
use crate::rounds::Harness;
use crate::server::RunningServer;
use anyhow::Context;

const CONNECTIONS: usize = 16;

/// Instructions for one message: what more messages cost more, so that start and end cancel out.
pub(crate) fn count_instructions(peer: &Contestant, harness: &Harness<'_>) -> anyhow::Result<f64> {
    let (few_messages, few) = run(peer, 1_000, harness)?;
    let (many_messages, many) = run(peer, 11_000, harness)?;
    Ok((many as f64 - few as f64) / (many_messages - few_messages) as f64)
}

/// The number of messages, at least as many as asked for, and all instructions of the process.
fn run(peer: &Contestant, messages: u64, harness: &Harness<'_>) -> anyhow::Result<(u64, u64)> {
    let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let peer = peer.clone().under("valgrind", &options);
    let server = RunningServer::start(&peer, harness.directory, harness.interrupt)?;
    let mut load = EchoLoad::connect(server.address(), CONNECTIONS, harness.interrupt)?;
    let messages = load.run(|answers| answers < messages, |_| {})?;
    drop(load);
    let said = server.end(harness.interrupt)?;
    let instructions = collected(&said).context("cannot understand what valgrind has counted")?;
    Ok((messages, instructions))
}

/// The sum that callgrind prints at the end.
fn collected(said: &str) -> Option<u64> {
    let lines = said.lines();
    let mut sums = lines.filter_map(|line| line.split_once("Collected :"));
    sums.next()?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found_among_other_lines() {
        let said = "==1== Events    : Ir\n==1== Collected : 4711\n==1== \n";
        assert_eq!(collected(said), Some(4711));
        assert_eq!(collected("==1== Events    : Ir\n"), None);
    }
}
