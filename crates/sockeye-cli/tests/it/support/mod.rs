//! What the tests share: processes whose output and end can be awaited, servers, clients, files, peers.

mod client;
mod files;
mod mounts;
mod packets;
mod peers;
mod process;
mod report;
mod server;
mod terminal;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use files::{Place, set_mode, stale_socket};
pub(crate) use mounts::{Fuse, bind_file, in_own_mounts, mount_overlay, mount_tmpfs};
pub(crate) use packets::{Records, bound, longest_queue, nameless, receive, records_of_all_sizes};
pub(crate) use peers::{
    OtherUser, as_other_user, copy_of_sockeye, in_another_network, is_root, optional_peer, python,
    require_peer, require_python_module, skipped, strace,
};
pub(crate) use process::{Finished, Process, run, run_with_input};
pub(crate) use report::Report;
pub(crate) use server::{Ending, Server, lock_path, serve_once, sockeye};
pub(crate) use terminal::terminal;

/// How long anything may take that ought to happen at once. Only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What `serve` answers unless told otherwise.
pub(crate) const REPLY: &str = "Message received successfully";

/// Looks again and again until `look` finds something: for what no descriptor tells of.
///
/// # Panics
///
/// When [`PATIENCE`] is over.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
