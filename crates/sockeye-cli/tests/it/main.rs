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
mod allowed;
mod bench;
mod budget;
mod busy_poll;
mod claim_races;
mod connect;
mod connect_relay;
mod datagrams;
mod demo;
mod descriptors;
mod drain;
mod drain_backlog;
mod ending;
mod errors;
mod exhaustion;
mod file_systems;
mod flush;
mod foreign;
mod forged;
mod framing;
mod help;
mod hostile;
mod http;
mod hung;
mod inherited;
mod interop;
mod kinds;
mod limits;
mod lingering;
mod locks;
mod lost;
mod ls;
mod mode;
mod neighbours;
mod notify;
mod once;
mod output;
mod passing;
mod permission;
mod process_links;
mod program;
mod records;
mod relay;
mod removed_directory;
mod replay;
mod reset;
mod save_fd;
mod second_views;
mod send;
mod silent_probe;
mod slow_receivers;
mod storm;
mod systemd;
mod takeover;
mod tap;
mod terminals;
mod topology;
mod unanswered;
mod unclosed;
mod units;
mod user_namespace;
mod why;
