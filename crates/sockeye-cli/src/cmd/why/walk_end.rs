//! [`WalkEnd`]: what the path of an address leads to.

use std::path::PathBuf;

use rustix::fs::{RawMode, Stat};
use serde::{Deserialize, Serialize};

use crate::cmd::hung::path_bytes;

/// The cause if a file system does not answer.
pub(super) const HUNG: &str = "hung";

/// Where the walk ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WalkEnd {
    /// At a socket file.
    Socket {
        #[serde(with = "path_bytes")]
        path: PathBuf,
        file: WalkedFile,
    },
    /// At something else, of this type and mode.
    NotASocket {
        #[serde(with = "path_bytes")]
        path: PathBuf,
        file: WalkedFile,
        mode: RawMode,
    },
    /// At a name that does not exist.
    MissingPart {
        #[serde(with = "path_bytes")]
        path: PathBuf,
        what: MissingPart,
    },
    /// At a file system that does not answer.
    Hung,
    /// Early; the report says why.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MissingPart {
    File,
    Directory,
    /// The target of a symbolic link.
    Target,
}

/// The identity of a file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WalkedFile {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Its number of hard links.
    pub(super) links: u64,
}

impl From<&Stat> for WalkedFile {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            links: stat.st_nlink,
        }
    }
}
