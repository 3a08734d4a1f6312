//! The only unsafe code: what the kernel offers for sockets and rustix does not wrap.
#![allow(unsafe_code)]

pub(crate) mod fd;
pub(crate) mod message;
pub(crate) mod peer;
