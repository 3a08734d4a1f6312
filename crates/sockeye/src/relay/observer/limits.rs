//! [`ObserverLimits`] of a queue, and what did not fit into it.

/// How much may wait for an [`Observer`](super::Observer), with what it looks at just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObserverLimits {
    /// Pieces: 4096 by default.
    pub pieces: usize,
    /// Bytes of all pieces: 16 MiB by default. A larger piece is always missed, unless the relay waits.
    pub bytes: usize,
}

impl Default for ObserverLimits {
    fn default() -> Self {
        Self {
            pieces: 4096,
            bytes: 16 << 20,
        }
    }
}

/// How much an observer has missed, of all connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedTotal {
    /// Pieces.
    pub pieces: u64,
    /// Bytes of pieces.
    pub bytes: u64,
    /// Fds of pieces.
    pub fds: u64,
    /// Begins and ends. These are missed only where twice as many of all wait as pieces may, or where
    /// the observer has panicked.
    pub events: u64,
}
