//! [`JudgedProcess`]: the one process that `--pid` asks about.

use std::fmt;
use std::path::PathBuf;

use crate::output::socket::command;

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JudgedProcess {
    pub(super) pid: i32,
    pub(super) name: Option<Vec<u8>>,
    /// Where its relative paths begin.
    pub(super) directory: PathBuf,
    /// Whether that was removed.
    pub(super) directory_is_removed: bool,
    /// Its network namespace, by inode number.
    pub(super) network: Option<u64>,
    /// The uids and gids (ours) that are mapped in its user namespace, if that is not ours.
    pub(super) mapped: Option<[Vec<(u64, u64)>; 2]>,
}

impl fmt::Display for JudgedProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, command(self.name.as_deref()))
    }
}

impl JudgedProcess {
    /// Whether the owner of a file is mapped in its user namespace.
    pub(super) fn maps(&self, uid: Option<u32>, gid: Option<u32>) -> bool {
        let Some([uids, gids]) = &self.mapped else {
            return true;
        };
        let has = |ranges: &[(u64, u64)], id: Option<u32>| {
            let id = id.map(u64::from);
            id.is_some_and(|id| {
                ranges
                    .iter()
                    .any(|(first, end)| (first..end).contains(&&id))
            })
        };
        has(uids, uid) && has(gids, gid)
    }
}
