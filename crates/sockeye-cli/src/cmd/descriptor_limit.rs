//! The limit of open file descriptors (RLIMIT_NOFILE).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
