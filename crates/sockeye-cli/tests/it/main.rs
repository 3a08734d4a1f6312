//! The command from outside: the built binary, real sockets in private directories, real peers.
//!
//! A test that needs a tool which is not there says `skipped: socat is not installed` and passes;
//! under `SOCKEYE_REQUIRE_PEERS=1` it fails instead.
#![allow(
    clippy::disallowed_methods,
    reason = "the tests play the foreign server and the careless user: bare binds, removed files, odd modes"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test by panicking"
)]

mod support;

mod addresses;
mod bench;
mod claim_races;
mod connect;
mod demo;
mod descriptors;
mod drain;
mod drain_backlog;
mod errors;
mod exhaustion;
mod foreign;
mod framing;
mod help;
mod hostile;
mod inherited;
mod interop;
mod limits;
mod locks;
mod ls;
mod mode;
mod notify;
mod output;
mod permission;
mod send;
mod systemd;
mod topology;
mod units;
mod why;
