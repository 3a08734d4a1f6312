//! The examples that need more than the library, each with clients and proxies that are not ours: curl,
//! python3, nginx, HAProxy, tonic's `unix:` client.
//!
//! `cargo test` builds them, but not the command `sockeye`, which `mcp` is called with.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test changes modes, and a helper of a test fails the test by panicking"
)]

mod axum;
mod axum_drain;
mod axum_takeover;
mod curl;
mod grpc;
#[path = "../../helloworld/mod.rs"]
mod helloworld;
mod http_client;
mod jsonrpc;
mod mcp;
mod proxies;
mod service;
#[allow(dead_code, reason = "the library's examples need all of it")]
#[path = "../../../crates/sockeye/tests/examples/support.rs"]
mod support;
mod varlink;
