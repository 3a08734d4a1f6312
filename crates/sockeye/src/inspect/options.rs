//! [`SnapshotOptions`] of a snapshot, and what was [`Hidden`] from it.

/// Which network namespaces to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Namespaces {
    /// That of this thread.
    Current,
    /// All that a process or a file in `/run/netns` leads to, as far as they may be entered
    /// (`CAP_SYS_ADMIN`).
    #[default]
    All,
}

/// How to take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotOptions {
    /// Which network namespaces to look into.
    pub namespaces: Namespaces,
}

/// What is missing in a snapshot, since permissions or time did not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Hidden {
    /// Processes whose fds may not be read.
    pub processes: usize,
    /// Network namespaces that may not be entered.
    pub namespaces: usize,
    /// Tables that changed under every attempt to read them, so that sockets may be missing.
    pub tables: usize,
    /// Sockets of namespaces that may not be entered, which some process has open: see
    /// [`Snapshot::unlisted`](super::Snapshot::unlisted).
    pub sockets: usize,
    /// Files that did not answer in time: see
    /// [`Snapshot::unanswered`](super::Snapshot::unanswered).
    pub files: usize,
}
