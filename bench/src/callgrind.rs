//! Counts the instructions of a server, in user space only.

use crate::contest::Arena;
use crate::load::Load;
use crate::peer::Peer;
use crate::server::Server;
use anyhow::Context;

const CONNECTIONS: usize = 16;

/// Instructions for one message: what more messages cost more, so that start and end cancel out.
pub(crate) fn count_instructions(peer: &Peer, arena: &Arena<'_>) -> anyhow::Result<f64> {
    let (few_messages, few) = run(peer, 1_000, arena)?;
    let (many_messages, many) = run(peer, 11_000, arena)?;
    Ok((many as f64 - few as f64) / (many_messages - few_messages) as f64)
}

/// The messages that there were, at least as many as asked for, and all instructions of the process.
fn run(peer: &Peer, messages: u64, arena: &Arena<'_>) -> anyhow::Result<(u64, u64)> {
    let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let peer = peer.clone().under("valgrind", &options);
    let server = Server::start(&peer, arena.directory, arena.stop)?;
    let mut load = Load::connect(server.address(), CONNECTIONS, arena.stop)?;
    let messages = load.run(|answers| answers < messages, |_| {})?;
    drop(load);
    let said = server.end(arena.stop)?;
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
