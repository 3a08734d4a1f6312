//! HTTP over UNIX sockets: servers and clients, with axum, tonic and hyper-util at the other end.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test by panicking, and says why it is skipped"
)]

mod allow;
mod clients;
mod draining;
mod grpc;
mod http2;
mod incoming;
mod limits;
mod raw;
mod requests;
mod routes;
mod support;
