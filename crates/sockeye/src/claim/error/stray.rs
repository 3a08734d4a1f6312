//! [`StrayFile`]: what is left of a socket file that was made in the wrong directory.

use std::fmt;
use std::path::PathBuf;

use crate::address::quoted;

/// What is left of a socket file that was made in another directory than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StrayFile {
    /// Nothing: it has been removed.
    Removed,
    /// It is still there.
    At(PathBuf),
    /// It may have been left somewhere.
    Unknown {
        /// The lower 32 bits of its inode number, where that can be known.
        inode: Option<u32>,
    },
}

impl fmt::Display for StrayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("no file is left elsewhere"),
            Self::At(path) => write!(f, "it was left at {}, to be removed", quoted(path)),
            Self::Unknown { inode: Some(inode) } => write!(
                f,
                "a socket file with inode number {inode} may be left elsewhere"
            ),
            Self::Unknown { inode: None } => f.write_str("a socket file may be left elsewhere"),
        }
    }
}
