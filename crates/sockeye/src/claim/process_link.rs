//! [`ProcessLink`]: a link of `/proc` that leads into a process.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, lstat, readlink};
use rustix::io::Errno;

use crate::address::quoted;

/// A link such as `/proc/7/root`. To follow it takes ptrace access to that process (proc_pid_root(5),
/// ptrace(2)), whatever the modes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessLink {
    path: PathBuf,
}

impl ProcessLink {
    /// What to do about a link that may not be followed.
    pub const ADVICE: &str = "run as root (CAP_SYS_PTRACE in the user namespace of that process), or with all ids of that process; or give a path that leads there without /proc";

    /// The link at `path`, which somebody is known not to be allowed to follow.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The link at `path`, if it is one that we may not follow.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let is_link = lstat(path)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
        // No other link has a target that may not be read.
        let is_closed = is_link && readlink(path, Vec::new()).err() == Some(Errno::ACCESS);
        is_closed.then(|| Self::new(path))
    }

    /// The first such link among the directories of `path` and `path` itself.
    #[must_use]
    pub fn on_the_way(path: &Path) -> Option<Self> {
        let ways: Vec<&Path> = path.ancestors().collect();
        ways.into_iter().rev().find_map(Self::at)
    }

    /// The link.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `/proc/7/root may not be followed by uid 1000, which takes ptrace access to that process`
    #[must_use]
    pub fn is_closed_to(&self, who: impl fmt::Display) -> String {
        let path = quoted(&self.path);
        format!("{path} may not be followed by {who}, which takes ptrace access to that process")
    }
}

impl fmt::Display for ProcessLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = rustix::process::geteuid().as_raw();
        let found = self.is_closed_to(format_args!("uid {uid}"));
        write!(f, "{found}; {}", Self::ADVICE)
    }
}
