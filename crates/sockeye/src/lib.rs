//! UNIX sockets done right.
#![deny(unsafe_code)]

pub mod address;
pub mod inspect;
pub mod peer;
mod sys;

pub use address::{Address, AddressError, Kind, Name};
pub use peer::Peer;
