//! Why a server cannot start.

use std::io;

use sockeye::adopt::AdoptError;

use crate::exit::{Exit, failure};

/// The inherited socket of the address does not fit.
pub(crate) fn cannot_listen(address: &str, error: &AdoptError) -> anyhow::Error {
    failure(Exit::Usage, format!("cannot listen on {address}: {error}"))
}

/// This process lacks fds or threads.
pub(crate) fn cannot_start(address: &str, error: &io::Error) -> anyhow::Error {
    failure(
        Exit::Failed,
        format!(
            "cannot listen on {address}: starting failed: {error}; look at the limits of this process (ulimit -a)"
        ),
    )
}
