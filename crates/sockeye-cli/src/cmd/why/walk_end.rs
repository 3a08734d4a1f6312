//! [`WalkEnd`]: where the path of an address ended.

use std::path::PathBuf;

use rustix::fs::{RawMode, Stat};
use serde::{Deserialize, Serialize};

use crate::cmd::hung::path_bytes;

/// The cause where a file system does not answer.
pub(super) const HUNG: &str = "hung";

/// Where the way ended.
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
    /// At what the report says.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MissingPart {
    File,
    Directory,
    /// Of a symbolic link.
    Target,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WalkedFile {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// How many names it has.
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
