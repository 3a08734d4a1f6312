//! [`Relay`]: joins two connections without losing anything.

mod address;
mod fd_policy;
mod report;

pub use address::{RelayAddress, VsockCid};
pub use fd_policy::FdPolicy;
pub use report::{DirectionEnd, DirectionReport, RelayFailure, RelayReport};
