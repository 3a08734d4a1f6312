//! The only unsafe code: what the kernel offers and rustix does not wrap.
#![allow(unsafe_code)]

pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod message;
pub(crate) mod peer;
#[cfg(feature = "tokio")]
pub(crate) mod process;
pub(crate) mod signal_mask;
pub(crate) mod socket;
#[cfg(feature = "tokio")]
pub(crate) mod spawn;
pub(crate) mod task;
#[cfg(feature = "tokio")]
pub(crate) mod vsock;
