//! [`DatagramRelayOptions`]: what was asked for, checked.

use std::time::Duration;

use crate::peer::AllowedPeers;
use crate::relay::{FdPolicy, ObserverHandle};

#[derive(Debug, Clone)]
pub(super) struct DatagramRelayOptions {
    pub(super) fds: FdPolicy,
    pub(super) forwards_credentials: bool,
    pub(super) observer: Option<ObserverHandle>,
    pub(super) allowed: Option<AllowedPeers>,
    pub(super) max_record: usize,
    pub(super) max_senders: usize,
    pub(super) max_buffered: usize,
    pub(super) max_waiting_fds: usize,
    pub(super) idle_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) drain_timeout: Duration,
}
