//! Recordings, as tshark and editcap read and rewrite them, and as the reader does.
#![cfg(feature = "tokio")]
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test by panicking"
)]

mod reading;
mod records;
mod relaying;
mod rewriting;
mod streams;
mod support;
mod writing;
