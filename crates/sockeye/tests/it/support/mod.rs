//! What the tests share: private directories, foreign sockets, threads that are somebody else.

mod access_list;
mod displaced;
mod mounts;
mod place;
mod raw;
#[cfg(feature = "tokio")]
pub(crate) mod serving;
mod threads;

use std::time::Duration;

#[cfg(feature = "tokio")]
pub(crate) use access_list::{ACCESS, list_nobody};
pub(crate) use access_list::{assert_no_list, listed_place};
pub(crate) use displaced::{HandTap, displaced};
pub(crate) use mounts::{Overlay, in_own_mounts, mount_tmpfs};
pub(crate) use place::{Place, identity, mode_of, set_mode};
#[cfg(feature = "tokio")]
pub(crate) use raw::is_nonblocking;
pub(crate) use raw::{
    bound, connected, fill_backlog, holds, is_close_on_exec, leave_stale, listening,
};
#[cfg(feature = "tokio")]
pub(crate) use threads::as_nobody_in;
pub(crate) use threads::{
    NOBODY, Task, as_nobody, in_own_directory, in_own_network, is_root, with_umask,
};

/// How long anything may take that ought to happen at once. Only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Says why a test looked at nothing.
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}
