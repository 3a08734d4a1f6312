//! TCP and vsock: streams, listeners and servers, with foreign clients. A program of its own, since it
//! starts processes.
#![cfg(feature = "tokio")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails the test by panicking, and says what it skips"
)]

mod clients;
mod listeners;
mod relays;
mod streams;
mod support;
mod targets;
