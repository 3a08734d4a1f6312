//! The servers that are compared, and how each is started.

use crate::client::Answer;
use crate::lineup::Missing;
use crate::tools::Tools;
use std::ffi::OsString;
use std::path::PathBuf;

/// A server; its socket path stands between the arguments and the program that it is to start.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) handler: &'static [&'static str],
    pub(crate) answer: Answer,
    /// It gets a listening TCP socket as standard input and `-` as its path.
    pub(crate) is_tcp: bool,
    pub(crate) waiting: Waiting,
}

/// How the only client of a server waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiting {
    Asleep,
    /// Asks again and again without a pause.
    Spinning,
    /// As Sockeye's clients with `--busy-poll`.
    BusyPoll,
}

impl Peer {
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>, answer: Answer) -> Self {
        Self {
            name,
            program: program.into(),
            arguments: Vec::new(),
            handler: &[],
            answer,
            is_tcp: false,
            waiting: Waiting::Asleep,
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

    pub(crate) fn handler(mut self, handler: &'static [&'static str]) -> Self {
        self.handler = handler;
        self
    }

    pub(crate) fn tcp(mut self) -> Self {
        self.is_tcp = true;
        self
    }

    pub(crate) fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// Started by another program, which becomes it.
    pub(crate) fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let inner = std::mem::replace(&mut self.program, program.into());
        let arguments = arguments.iter().map(OsString::from);
        let outer = arguments.chain([inner.into_os_string()]);
        self.arguments.splice(..0, outer);
        self
    }
}

/// Names that goals and tables share.
pub(crate) const SOCKEYE: &str = "sockeye";
pub(crate) const SOCKEYE_ECHO: &str = "sockeye --echo";
pub(crate) const TOKIO: &str = "tokio multi-thread";
pub(crate) const EPOLL_LOOP: &str = "epoll loop in C";
pub(crate) const EPOLL_LOOP_TCP: &str = "epoll loop in C, TCP";
pub(crate) const GO: &str = "go";

impl Tools {
    pub(crate) fn sockeye(&self) -> Peer {
        Peer::new(SOCKEYE, &self.sockeye, Answer::Reply).arguments(&["serve"])
    }

    pub(crate) fn sockeye_echo(&self) -> Peer {
        Peer::new(SOCKEYE_ECHO, &self.sockeye, Answer::Echo).arguments(&["serve", "--echo"])
    }

    pub(crate) fn tokio(&self) -> Peer {
        Peer::new(TOKIO, &self.tokio_echo, Answer::Echo).arguments(&["multi-thread"])
    }

    pub(crate) fn tokio_current_thread(&self) -> Peer {
        Peer::new("tokio current-thread", &self.tokio_echo, Answer::Echo)
            .arguments(&["current-thread"])
    }

    pub(crate) fn epoll_loop(&self) -> Result<Peer, Missing> {
        built(EPOLL_LOOP, &self.epoll_echo, Answer::Echo)
    }

    pub(crate) fn epoll_loop_on_tcp(&self) -> Result<Peer, Missing> {
        built(EPOLL_LOOP_TCP, &self.epoll_echo, Answer::Echo).map(Peer::tcp)
    }

    pub(crate) fn go_echo(&self) -> Result<Peer, Missing> {
        built(GO, &self.go_echo, Answer::Echo)
    }
}

/// A server that there may be no compiler for.
pub(crate) fn built(
    name: &'static str,
    program: &Result<PathBuf, String>,
    answer: Answer,
) -> Result<Peer, Missing> {
    match program {
        Ok(program) => Ok(Peer::new(name, program, answer)),
        Err(reason) => Err(Missing::new(name, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::path::Path;

    #[test]
    fn a_program_around_it_comes_first() {
        let peer = Peer::new("x", "/bin/server", Answer::Echo)
            .arguments(&["--echo"])
            .under("valgrind", &["--tool=none"]);
        assert_eq!(peer.program, Path::new("valgrind"));
        assert_eq!(
            peer.arguments,
            ["--tool=none", "/bin/server", "--echo"].map(OsStr::new)
        );
    }
}
