//! The servers that Sockeye is compared with, and Sockeye's own.

use crate::client::AnswerKind;
use crate::contestants::{Contestant, Missing};
use crate::tools::Tools;
use std::path::PathBuf;

/// Names that goals and tables share.
pub(crate) const SOCKEYE: &str = "sockeye";
pub(crate) const SOCKEYE_ECHO: &str = "sockeye --echo";
pub(crate) const TOKIO: &str = "tokio multi-thread";
pub(crate) const EPOLL_LOOP: &str = "epoll loop in C";
pub(crate) const EPOLL_LOOP_TCP: &str = "epoll loop in C, TCP";
pub(crate) const GO: &str = "go";

impl Tools {
    pub(crate) fn sockeye(&self) -> Contestant {
        Contestant::new(SOCKEYE, &self.sockeye, AnswerKind::Reply).arguments(&["serve"])
    }

    pub(crate) fn sockeye_echo(&self) -> Contestant {
        Contestant::new(SOCKEYE_ECHO, &self.sockeye, AnswerKind::Echo)
            .arguments(&["serve", "--echo"])
    }

    pub(crate) fn tokio(&self) -> Contestant {
        Contestant::new(TOKIO, &self.tokio_echo, AnswerKind::Echo).arguments(&["multi-thread"])
    }

    pub(crate) fn tokio_current_thread(&self) -> Contestant {
        Contestant::new("tokio current-thread", &self.tokio_echo, AnswerKind::Echo)
            .arguments(&["current-thread"])
    }

    pub(crate) fn epoll_loop(&self) -> Result<Contestant, Missing> {
        built(EPOLL_LOOP, &self.epoll_echo, AnswerKind::Echo)
    }

    pub(crate) fn epoll_loop_on_tcp(&self) -> Result<Contestant, Missing> {
        built(EPOLL_LOOP_TCP, &self.epoll_echo, AnswerKind::Echo).map(Contestant::tcp)
    }

    pub(crate) fn go_echo(&self) -> Result<Contestant, Missing> {
        built(GO, &self.go_echo, AnswerKind::Echo)
    }
}

/// A server that is missing without a compiler.
pub(crate) fn built(
    name: &'static str,
    program: &Result<PathBuf, String>,
    answer: AnswerKind,
) -> Result<Contestant, Missing> {
    match program {
        Ok(program) => Ok(Contestant::new(name, program, answer)),
        Err(reason) => Err(Missing::new(name, reason)),
    }
}
