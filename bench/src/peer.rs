//! The servers that are compared, and how each is started.

use crate::client::Answer;
use std::path::PathBuf;

/// A server; its socket path stands between the arguments and the program that it is to start.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) handler: &'static [&'static str],
    pub(crate) answer: Answer,
    /// How fast Sockeye wants to be beside it; `None` where it is there for information.
    pub(crate) goal: Option<f64>,
    /// Whether this is what the others are compared with.
    pub(crate) is_subject: bool,
}

impl Peer {
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>, answer: Answer) -> Self {
        Self {
            name,
            program: program.into(),
            arguments: &[],
            handler: &[],
            answer,
            goal: None,
            is_subject: false,
        }
    }

    pub(crate) fn arguments(mut self, arguments: &'static [&'static str]) -> Self {
        self.arguments = arguments;
        self
    }

    pub(crate) fn handler(mut self, handler: &'static [&'static str]) -> Self {
        self.handler = handler;
        self
    }

    pub(crate) fn subject(mut self) -> Self {
        self.is_subject = true;
        self
    }

    pub(crate) fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }
}
