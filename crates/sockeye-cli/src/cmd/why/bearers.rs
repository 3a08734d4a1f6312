//! [`Bearers`]: sockets that bear the name of a socket file and cannot be reached at it.

use sockeye::inspect::Socket;

use super::listener::Who;
use super::report::Verdict;
use crate::exit::Exit;

/// Connections that outlive their listener, or those of a client that has bound itself to the
/// file: the kernel does not tell which.
pub(super) struct Bearers {
    who: Who,
    count: usize,
}

impl Bearers {
    /// Of the sockets at a file where nobody listens.
    pub(super) fn of(sockets: &[&Socket]) -> Option<Self> {
        (!sockets.is_empty()).then(|| Self {
            who: Who::of_all(sockets),
            count: sockets.len(),
        })
    }

    pub(super) fn words(&self) -> String {
        format!(
            "{} still {} {} of that name: of a listener that was closed, or of a client that is \
             bound to the file",
            self.who,
            self.who.does("has", "have"),
            match self.count {
                1 => "1 connection".to_owned(),
                count => format!("{count} connections"),
            }
        )
    }

    /// What stale is without them.
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::new(
            Exit::NothingThere,
            "no-listener",
            format!("nobody listens on the socket file; {}", self.words()),
            "start the server; sockeye serve replaces the file, and these connections go on",
        )
    }
}
