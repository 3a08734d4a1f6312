//! [`Settings`] of a relay, which all of its connections share.

use std::sync::Arc;
use std::time::Duration;

use super::FdPolicy;
use super::observer::ObserverHandle;
use super::pipes::PipePool;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) fds: Option<FdPolicy>,
    pub(super) max_record: usize,
    pub(super) half_close_timeout: Option<Duration>,
    /// Whether messages to the target carry the credentials of the client's messages.
    pub(super) passes_credentials: bool,
    pub(super) observer: Option<ObserverHandle>,
    pub(super) pipes: Arc<PipePool>,
}
