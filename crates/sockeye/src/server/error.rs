//! [`ServerError`]: why a server has ended, or did not begin.

use std::io;

use super::Server;
use super::counters::Report;
use crate::takeover::TakeoverError;

/// Why a server has ended, or did not begin.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Accepting became impossible.
    #[error("cannot accept connections: {source}")]
    Accept {
        /// What accept(2) or shutdown(2) said.
        source: io::Error,
        /// What was served until then.
        report: Report,
    },
    /// A limit of connections is 0, so that nobody could be served.
    #[error("{limit} is 0, so that nobody could be served; allow at least 1, or set no limit")]
    ZeroLimit {
        /// The method of [`Server`] that has set it.
        limit: &'static str,
    },
    /// The last step of a takeover failed: nobody was served.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
}

crate::error_debug::debug_as_display!(ServerError);

impl ServerError {
    /// What was served until then.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Accept { report, .. } => *report,
            Self::ZeroLimit { .. } | Self::Takeover(_) => Report::default(),
        }
    }
}

impl Server {
    pub(super) fn check_limits(&self) -> Result<(), ServerError> {
        let limits = [
            ("max_connections", self.max_connections),
            ("max_per_uid", self.max_per_uid),
        ];
        match limits.into_iter().find(|(_, limit)| *limit == Some(0)) {
            Some((limit, _)) => Err(ServerError::ZeroLimit { limit }),
            None => Ok(()),
        }
    }
}
