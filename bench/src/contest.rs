//! Servers that take turns: A B C, A B C, and so on. Each turn has a new process, so that luck in where its memory lies
//! is not the same luck in every round.

use crate::peer::Peer;
use crate::server::Server;
use crate::stop::Stop;
use anyhow::Context;
use std::path::Path;

/// Everything that stays the same from one contest to the next.
pub(crate) struct Arena<'a> {
    pub(crate) rounds: usize,
    /// For sockets and logs.
    pub(crate) directory: &'a Path,
    pub(crate) stop: &'a Stop,
}

/// A server's results, one from each round.
pub(crate) struct Entry<T> {
    pub(crate) peer: Peer,
    pub(crate) results: Vec<T>,
}

impl<T> Entry<T> {
    /// One figure of each result.
    pub(crate) fn figures(&self, figure: impl Fn(&T) -> f64) -> Vec<f64> {
        self.results.iter().map(figure).collect()
    }
}

impl Arena<'_> {
    /// Gives each peer its turn in each round. `say` makes one line of a result, for whoever watches.
    pub(crate) fn hold<T>(
        &self,
        title: &str,
        peers: &[Peer],
        measure: impl Fn(&Server, &Peer) -> anyhow::Result<T>,
        say: impl Fn(&T) -> String,
    ) -> anyhow::Result<Vec<Entry<T>>> {
        let entries = peers.iter().map(|peer| Entry {
            peer: peer.clone(),
            results: Vec::with_capacity(self.rounds),
        });
        let mut entries: Vec<_> = entries.collect();
        for round in 1..=self.rounds {
            eprintln!("{title}, round {round} of {}", self.rounds);
            for entry in &mut entries {
                self.stop.check()?;
                let name = entry.peer.name;
                let result = Server::start(&entry.peer, self.directory, self.stop)
                    .and_then(|server| measure(&server, &entry.peer))
                    .with_context(|| format!("{title}: {name}"))?;
                eprintln!("  {name:<20} {}", say(&result));
                entry.results.push(result);
            }
        }
        Ok(entries)
    }
}
