//! [`RelayOutcome`]: how a relay that has listened ended.

use sockeye::server::Report;

/// How a relay that has listened ended.
pub(super) struct RelayOutcome {
    pub(super) report: Report,
    /// Why it could not go on.
    pub(super) error: Option<String>,
}
