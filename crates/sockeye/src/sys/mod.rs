//! The only unsafe code: what the kernel offers for sockets and processes and rustix does not wrap.
#![allow(unsafe_code)]

pub(crate) mod fd;
pub(crate) mod peer;
#[cfg(feature = "tokio")]
pub(crate) mod spawn;
