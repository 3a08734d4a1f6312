//! The servers of a comparison: how each is started, and which cannot take part.

use crate::client::AnswerKind;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The servers that are compared.
pub(crate) struct Contestants {
    /// The first is the one that the others are compared with.
    pub(crate) present: Vec<Contestant>,
    pub(crate) missing: Vec<Missing>,
}

/// A contestant that is missing, and why.
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

/// A server; its socket path stands between the arguments and the handler.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Behind the path: the program that it is to start, or the target of a relay.
    pub(crate) handler: Vec<OsString>,
    pub(crate) answer: AnswerKind,
    /// It gets a listening TCP socket as standard input and `-` as its path.
    pub(crate) is_tcp: bool,
    pub(crate) waiting: ClientWait,
}

/// How the only client of a server waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientWait {
    Asleep,
    /// Calls recv(2) with MSG_DONTWAIT in a loop.
    Spinning,
    /// As Sockeye's clients with `--busy-poll`.
    BusyPoll,
}

impl Contestant {
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>, answer: AnswerKind) -> Self {
        Self {
            name,
            program: program.into(),
            arguments: Vec::new(),
            handler: Vec::new(),
            answer,
            is_tcp: false,
            waiting: ClientWait::Asleep,
        }
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    pub(crate) fn handler(mut self, handler: &[impl AsRef<OsStr>]) -> Self {
        self.handler = handler.iter().map(|word| word.as_ref().into()).collect();
        self
    }

    pub(crate) fn tcp(mut self) -> Self {
        self.is_tcp = true;
        self
    }

    pub(crate) fn waiting(mut self, waiting: ClientWait) -> Self {
        self.waiting = waiting;
        self
    }

    /// Started by another program, which executes it.
    pub(crate) fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let inner = std::mem::replace(&mut self.program, program.into());
        let arguments = arguments.iter().map(OsString::from);
        let outer = arguments.chain([inner.into_os_string()]);
        self.arguments.splice(..0, outer);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_program_around_it_comes_first() {
        let peer = Contestant::new("x", "/bin/server", AnswerKind::Echo)
            .arguments(&["--echo"])
            .under("valgrind", &["--tool=none"]);
        assert_eq!(peer.program, Path::new("valgrind"));
        assert_eq!(
            peer.arguments,
            ["--tool=none", "/bin/server", "--echo"].map(OsStr::new)
        );
    }
}
