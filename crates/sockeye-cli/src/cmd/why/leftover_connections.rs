//! [`LeftoverConnections`]: connected sockets with the name of a socket file where nobody listens.

use sockeye::inspect::Socket;

use super::listener::Who;
use super::report::Verdict;
use crate::exit::Exit;

/// Connections that outlive their listener, or those of a client that is bound to the file:
/// sock_diag(7) does not tell these apart.
pub(super) struct LeftoverConnections {
    who: Who,
    count: usize,
}

impl LeftoverConnections {
    /// From the sockets at a file where nobody listens.
    pub(super) fn of(sockets: &[&Socket]) -> Option<Self> {
        (!sockets.is_empty()).then(|| Self {
            who: Who::of_all(sockets),
            count: sockets.len(),
        })
    }

    /// Whose they are, as far as is known; `is_alive`: whether a socket is bound to the file.
    pub(super) fn describe(&self, is_alive: Option<bool>) -> String {
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

    /// The verdict, instead of a stale file.
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
                self.describe(is_alive)
            ),
            advice,
        )
    }
}
