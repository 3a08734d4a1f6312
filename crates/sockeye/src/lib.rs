//! UNIX sockets done right.
#![deny(unsafe_code)]

pub mod activation;
pub mod address;
pub mod adopt;
pub mod ancillary;
pub mod busy_poll;
pub mod claim;
mod closing;
pub mod connect;
#[cfg(feature = "tokio")]
pub mod framing;
#[cfg(all(fuzzing, feature = "tokio"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod inspect;
#[cfg(feature = "tokio")]
mod lazy_async_fd;
#[cfg(feature = "tokio")]
pub mod listener;
pub mod packet;
#[cfg(feature = "tokio")]
mod passing;
pub mod peer;
#[cfg(feature = "tokio")]
pub mod program;
#[cfg(feature = "tokio")]
pub mod server;
mod socket;
#[cfg(feature = "tokio")]
mod spare;
#[cfg(feature = "tokio")]
pub mod stream;
mod sys;
#[cfg(feature = "tokio")]
pub mod takeover;

pub use address::{Address, AddressError, Kind, Name};
pub use busy_poll::BusyPoll;
pub use claim::{Claim, ClaimError, IfExists};
pub use connect::{ConnectError, Connector};
#[cfg(feature = "tokio")]
pub use listener::{Listener, SeqPacketListener};
#[cfg(feature = "tokio")]
pub use packet::{Datagram, SeqPacket};
pub use peer::Peer;
#[cfg(feature = "tokio")]
pub use program::Program;
#[cfg(feature = "tokio")]
pub use stream::Stream;
#[cfg(feature = "tokio")]
pub use takeover::{Takeover, TakeoverError};
