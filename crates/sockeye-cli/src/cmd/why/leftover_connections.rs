//! [`LeftoverConnections`]: sockets that bear the name of a socket file and cannot be reached at it.

use sockeye::inspect::Socket;

use super::listener::Who;
use super::report::Verdict;
use crate::exit::Exit;

/// Connections that outlive their listener, or those of a client that has bound itself to the
/// file: the kernel does not tell which.
pub(super) struct LeftoverConnections {
    who: Who,
    count: usize,
}

impl LeftoverConnections {
    /// Of the sockets at a file where nobody listens.
    pub(super) fn of(sockets: &[&Socket]) -> Option<Self> {
        (!sockets.is_empty()).then(|| Self {
            who: Who::of_all(sockets),
            count: sockets.len(),
        })
    }

    /// Whose they are, as far as it is known whether the file `is_alive`.
    pub(super) fn words(&self, is_alive: Option<bool>) -> String {
        let of = match is_alive {
            Some(true) => "of a client that is bound to the file",
            Some(false) => "of a listener that was closed",
            None => {
                "of a listener that was closed or is in another network namespace, or of a client \
                 that is bound to the file"
            }
        };
        let count = match self.count {
            1 => "1 connection".to_owned(),
            count => format!("{count} connections"),
        };
        let (who, have) = (&self.who, self.who.does("has", "have"));
        format!("{who} still {have} {count} of that name: {of}")
    }

    /// What stale is without them.
    pub(super) fn verdict(&self, is_alive: Option<bool>) -> Verdict {
        let advice = match is_alive {
            Some(true) => "end that client, or choose another path for the server",
            _ => "start the server, which has to replace the file; these connections go on",
        };
        Verdict::new(
            Exit::NothingThere,
            "no-listener",
            format!(
                "nobody listens on the socket file; {}",
                self.words(is_alive)
            ),
            advice,
        )
    }
}
