//! Who takes part in a contest, and who cannot.

use crate::contest::Arena;
use crate::peer::Peer;
use crate::server::Server;
use anyhow::bail;

/// Somebody who does not take part, and why.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Missing {
    pub(crate) fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let (name, reason) = (name.into(), reason.into());
        Self { name, reason }
    }
}

pub(crate) struct Lineup {
    pub(crate) peers: Vec<Peer>,
    pub(crate) missing: Vec<Missing>,
}

impl Lineup {
    /// Whoever gives an answer. The first is the one that the others are compared with, and must.
    pub(crate) fn try_out(
        candidates: impl IntoIterator<Item = Result<Peer, Missing>>,
        arena: &Arena<'_>,
    ) -> anyhow::Result<Self> {
        let (mut peers, mut missing) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let fit = candidate.and_then(|peer| {
                match Server::try_out(&peer, arena.directory, arena.stop) {
                    Ok(()) => Ok(peer),
                    Err(error) => Err(Missing::new(peer.name, format!("{error:#}"))),
                }
            });
            arena.stop.check()?;
            match fit {
                Ok(peer) => peers.push(peer),
                Err(Missing { name, reason }) if peers.is_empty() => {
                    bail!("{name} does not take part: {reason}")
                }
                Err(reason) => missing.push(reason),
            }
        }
        Ok(Self { peers, missing })
    }
}
