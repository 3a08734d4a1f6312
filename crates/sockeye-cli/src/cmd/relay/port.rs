//! Listening on a TCP or vsock port.

use std::os::fd::OwnedFd;

use sockeye::NetListener;
use sockeye::relay::RelayAddress;

use crate::exit::{Exit, failure};

/// Binds the port. To look up a name blocks, so that is done on another thread.
pub(super) async fn listen(address: &RelayAddress, backlog: u32) -> anyhow::Result<NetListener> {
    let address = address.clone();
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    Ok(tokio::task::spawn_blocking(move || address.listen(backlog)).await??)
}

/// Checks an inherited listening socket.
pub(super) fn adopt(address: &str, socket: OwnedFd) -> anyhow::Result<NetListener> {
    NetListener::adopt(socket)
        .map_err(|error| failure(Exit::Usage, format!("cannot listen on {address}: {error}")))
}
