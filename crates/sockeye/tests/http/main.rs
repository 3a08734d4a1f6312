//! HTTP over UNIX sockets: servers and clients, with axum, tonic and hyper-util at the other end.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test by panicking"
)]

mod clients;
mod support;
