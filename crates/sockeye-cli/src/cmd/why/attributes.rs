//! [`FileAttributes`]: the mode, owner and group of a file, which decide who may use it.

use rustix::fs::Stat;
use sockeye::ids;

/// An owner that has no mapping in our user namespace is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileAttributes {
    pub(super) mode: u32,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

pub(super) fn attributes_of(stat: &Stat) -> FileAttributes {
    FileAttributes {
        mode: stat.st_mode,
        uid: ids::uid(stat.st_uid),
        gid: ids::gid(stat.st_gid),
    }
}
