//! The limit of open file descriptors (RLIMIT_NOFILE).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What a tap has open beside its connections, with the one that is just being made.
const OTHERWISE_OPEN: u64 = 30;
/// Room for the most fds of one message, and a reserve.
const FEWEST_FREE: u64 = 285;

/// Says where messages with fds might wait for ever.
pub(super) fn warn_if_too_low_for_fds() {
    let limit = getrlimit(Resource::Nofile).current;
    if let Some(limit) = limit.filter(|&limit| limit < FEWEST_FREE + 100) {
        warn!(
            "the limit of open files is {limit}: a message with file descriptors waits until {FEWEST_FREE} more may be opened; raise it (ulimit -n)"
        );
    }
}

/// So many connections, of two fds each, the limit allows beside what else is open.
pub(super) fn most_pairs() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    let pairs = limit.saturating_sub(OTHERWISE_OPEN) / 2;
    Some(usize::try_from(pairs).unwrap_or(usize::MAX).max(1))
}

/// Raises the soft limit to the hard one and returns what it was before. Each connection is an fd; the
/// usual 1024 is for programs that use select(2), so the programs that we start get the old limit
/// back. A successor has inherited a raised limit, and gets the original one as `original`.
pub(super) fn raise(original: Option<u64>) -> Rlimit {
    let found = getrlimit(Resource::Nofile);
    let before = Rlimit {
        current: original.or(found.current),
        maximum: found.maximum,
    };
    let most = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // If that fails, the limit is just lower.
    let _ = setrlimit(Resource::Nofile, most);
    before
}
