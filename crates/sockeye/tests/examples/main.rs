//! The programs of `examples/`, each with a client that is not ours: python3, socat, nc, systemd.
//!
//! `cargo test` builds them. With `--test examples` alone it does not: run `cargo build --examples` with
//! the same features before.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test changes modes, and a helper of a test fails the test by panicking"
)]

mod activation;
mod chat;
mod conventions;
mod datagrams;
mod messages;
mod open_files;
mod records;
mod relay;
mod restart;
mod single_instance;
mod support;
/// With its own tests.
#[expect(dead_code, reason = "its main")]
#[path = "../../examples/unit_test.rs"]
mod unit_test;
