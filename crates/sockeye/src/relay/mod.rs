//! [`Relay`]: joins two connections without losing anything.

mod fd_policy;
mod report;

pub use fd_policy::FdPolicy;
pub use report::{DirectionEnd, DirectionReport, RelayFailure, RelayReport};
