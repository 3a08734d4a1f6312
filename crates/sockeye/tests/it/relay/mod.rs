//! Joins two connections.

mod complete_observer;
mod ending;
mod fds;
pub(crate) mod keeper;
mod network;
mod observer;
mod records;
mod streams;
mod timeouts;

use std::os::unix::net::UnixStream;

use sockeye::Stream;
use sockeye::relay::{Relay, RelayReport};
use tokio::task::JoinHandle;

/// A client and a target with a relay in between, and the relay's end.
fn joined(relay: &Relay) -> (UnixStream, UnixStream, JoinHandle<RelayReport>) {
    let (client, ours) = UnixStream::pair().unwrap();
    let (theirs, target) = UnixStream::pair().unwrap();
    let join = relay.join(
        Stream::from_std(ours).unwrap(),
        Stream::from_std(theirs).unwrap(),
    );
    let relay = tokio::spawn(async { join.await.unwrap() });
    (client, target, relay)
}
