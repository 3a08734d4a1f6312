//! The library from outside: real sockets in private directories.
//!
//! Servers that know nothing of our locks, other users and other network namespaces are played by
//! threads of this process, so that nothing is ever forked while a descriptor is being closed.
//! Where the clock matters it is tokio's paused one: it stands while anything is to be done, and
//! then jumps to the next timer.
#![allow(
    clippy::disallowed_methods,
    reason = "the tests play the foreign server and the careless user: bare binds, removed files, odd modes"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails the test by panicking, and says what it skips"
)]

mod support;

#[cfg(feature = "tokio")]
mod adopt;
#[cfg(feature = "tokio")]
mod allowed;
#[cfg(feature = "tokio")]
mod arrivals;
#[cfg(feature = "tokio")]
mod budget;
#[cfg(feature = "tokio")]
mod busy_poll;
mod claim;
mod connect;
#[cfg(feature = "tokio")]
mod drain;
#[cfg(feature = "tokio")]
mod echo;
mod errors;
#[cfg(feature = "tokio")]
mod halves;
#[cfg(feature = "tokio")]
mod handler_failures;
#[cfg(feature = "tokio")]
mod handler_turns;
#[cfg(feature = "tokio")]
mod handlers;
mod inspect;
#[cfg(feature = "tokio")]
mod lent;
#[cfg(feature = "tokio")]
mod message_ends;
#[cfg(feature = "tokio")]
mod messages;
#[cfg(feature = "tokio")]
mod moved;
#[cfg(feature = "tokio")]
mod no_runtime;
#[cfg(feature = "tokio")]
mod open;
#[cfg(feature = "tokio")]
mod outcomes;
mod packet;
#[cfg(feature = "tokio")]
mod pairs;
mod peer;
#[cfg(feature = "tokio")]
mod raw_fd;
#[cfg(feature = "tokio")]
mod readiness;
#[cfg(feature = "tokio")]
mod records;
#[cfg(feature = "tokio")]
mod relay;
#[cfg(feature = "tokio")]
mod relay_datagrams;
#[cfg(feature = "tokio")]
mod release;
#[cfg(feature = "tokio")]
mod server;
#[cfg(feature = "signal")]
mod shutdown_signal;
mod single_instance;
#[cfg(feature = "tokio")]
mod slow_readers;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(feature = "tokio")]
mod takeover;
#[cfg(feature = "tokio")]
mod takeover_permissions;
#[cfg(feature = "tokio")]
mod taking;
#[cfg(feature = "tokio")]
mod timeouts;
#[cfg(feature = "tokio")]
mod unread;
