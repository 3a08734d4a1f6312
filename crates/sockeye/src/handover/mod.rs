//! The protocol of a takeover: what predecessor and successor say to each other, and the state of each.
//!
//! It knows nothing of listeners; [`takeover`](crate::takeover) hands them over with it.

mod connection;
mod error;
mod frame;
mod machine;
mod pending;

use std::time::Duration;

pub(crate) use connection::ControlConnection;
pub use error::{TakeoverError, TakeoverErrorKind};
pub(crate) use frame::Frame;
pub(crate) use machine::{HandoverEvent, Predecessor, Reason, Successor};
pub(crate) use pending::PendingTakeover;

/// How long either side waits for a frame that depends on the other process alone.
pub(crate) const STEP: Duration = Duration::from_secs(10);

/// Reads all that comes on a control connection.
#[cfg(fuzzing)]
pub(crate) async fn read_to_end(socket: crate::SeqPacket) {
    let connection = ControlConnection::new(socket);
    while !matches!(connection.event().await, Ok((HandoverEvent::Closed, _))) {}
}
