//! RLIMIT_NOFILE: how many descriptors this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A server's connections are descriptors; the soft limit of 1024 is there for programs that use
/// select(2), and for the programs that we start: they get back what was, which is returned.
/// A successor has inherited the one that its predecessor had raised, and is told of the first.
pub(super) fn raise(told: Option<u64>) -> Rlimit {
    let found = getrlimit(Resource::Nofile);
    let before = Rlimit {
        current: told.or(found.current),
        maximum: found.maximum,
    };
    let most = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // Without it the limit is just lower.
    let _ = setrlimit(Resource::Nofile, most);
    before
}
