//! Socket files that are seen twice: a socket is bound to one inode, and the other one looks dead.
//!
//! Each test has a name of its own for them, since all sockets of this process that have the same
//! one may be each other's view.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use sockeye::claim::{ClaimErrorKind, Probe, UnclearReason, probe};
use sockeye::{Address, Claim, Kind};

use super::denied;
use crate::support::{
    NOBODY, Overlay, Place, as_nobody, bound, identity, in_own_mounts, in_own_network, leave_stale,
    listening, mount_tmpfs, set_mode,
};

const KINDS: [Kind; 3] = [Kind::Stream, Kind::SeqPacket, Kind::Datagram];

fn address(path: &Path) -> Address {
    Address::from_path(path).unwrap()
}

/// Other runs of these tests are no views either.
fn named(test: &str) -> String {
    format!("{test}-{}.sock", std::process::id())
}

fn serving(kind: Kind, path: &Path) -> OwnedFd {
    match kind {
        Kind::Datagram => bound(kind, path),
        _ => listening(kind, path, 5),
    }
}

/// Nobody takes the file at `seen`, under which the open one of `server` is shown.
#[track_caller]
fn is_left_alone(seen: &Path, server: &Path) {
    let before = (identity(seen), identity(server));
    assert_eq!(denied(&address(seen)), ClaimErrorKind::Unclear);
    let error = Claim::options().claim(&address(seen)).unwrap_err();
    let text = error.to_string();
    for word in ["open socket of the same file name", "remove it if"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\n'), "{text}");
    assert_eq!(
        (identity(seen), identity(server)),
        before,
        "nothing changed"
    );
}

#[track_caller]
fn is_replaced(path: &Path) {
    let before = identity(path);
    assert_eq!(probe(&address(path)), Probe::Stale);
    let claim = Claim::options().claim(&address(path)).unwrap();
    assert_ne!(identity(path), before);
    drop(claim);
    assert_eq!(identity(path), None);
}

/// Gives a file the time of another one, and so many seconds less.
fn copy_time(from: &Path, to: &Path, less: i64) {
    let from = fs::metadata(from).unwrap();
    let time = Timespec {
        tv_sec: from.mtime() - less,
        tv_nsec: from.mtime_nsec(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, to, &times, AtFlags::empty()).unwrap();
}

#[test]
fn a_live_server_stays_that_is_seen_through_an_overlay_or_below_it() {
    let place = Place::new();
    in_own_mounts(|| {
        mount_tmpfs(place.dir());
        for kind in KINDS {
            for which in 0..3 {
                // Below an overlay only one change to a file is defined.
                let overlay = Overlay::mount(&place.at(format!("{kind}{which}")))?;
                let (lower, upper, merged) = (overlay.lower, overlay.upper, overlay.merged);
                let (bound_in, seen_in) =
                    [(&upper, &merged), (&merged, &upper), (&lower, &merged)][which];
                let (at, seen) = (
                    bound_in.join(named("over-or-below")),
                    seen_in.join(named("over-or-below")),
                );
                let server = serving(kind, &at);
                let found = probe(&address(&seen));
                let me = Some(rustix::process::getpid());
                assert!(
                    matches!(found, Probe::Unclear(UnclearReason::Namesake { pid, .. }) if pid == me),
                    "{found:?}"
                );
                is_left_alone(&seen, &at);
                drop(server);
                // One that has ended is replaced through either.
                is_replaced(&seen);
            }
        }
        Some(())
    });
}

#[test]
fn a_live_server_stays_that_is_seen_through_an_overlay_from_another_network_namespace() {
    let place = Place::new();
    in_own_mounts(|| {
        mount_tmpfs(place.dir());
        let overlay = Overlay::mount(place.dir())?;
        let at = overlay.upper.join(named("other-netns"));
        let server = in_own_network(|| serving(Kind::Stream, &at))?;
        is_left_alone(&overlay.merged.join(named("other-netns")), &at);
        drop(server);
        is_replaced(&overlay.merged.join(named("other-netns")));
        Some(())
    });
}

/// As containers have: the same name and number, on file systems that have nothing in common.
#[test]
fn a_file_system_of_ones_own_is_no_view() {
    let place = Place::new();
    in_own_mounts(|| {
        let (one, other) = (place.at("one"), place.at("other"));
        mount_tmpfs(&one);
        mount_tmpfs(&other);
        let (live, dead) = (
            one.join(named("of-ones-own")),
            other.join(named("of-ones-own")),
        );
        let _server = serving(Kind::Stream, &live);
        leave_stale(&dead);
        assert_eq!(
            fs::metadata(&live).unwrap().ino(),
            fs::metadata(&dead).unwrap().ino()
        );
        copy_time(&live, &dead, 0);
        is_replaced(&dead);

        // Nor is an overlay over another one.
        mount_tmpfs(&one);
        mount_tmpfs(&other);
        let (one, other) = (Overlay::mount(&one)?, Overlay::mount(&other)?);
        let (live, dead) = (
            one.merged.join(named("of-ones-own")),
            other.merged.join(named("of-ones-own")),
        );
        let _server = serving(Kind::Stream, &live);
        leave_stale(&dead);
        assert_eq!(
            fs::metadata(&live).unwrap().ino(),
            fs::metadata(&dead).unwrap().ino()
        );
        assert_ne!(
            fs::metadata(&live).unwrap().dev(),
            fs::metadata(&dead).unwrap().dev()
        );
        // Two servers hardly bind at the same time, even if these do.
        copy_time(&live, &dead, 1);
        is_replaced(&dead);
        Some(())
    });
}

/// Anybody may bind any name, and give the file any number and time.
#[test]
fn a_strangers_socket_blocks_nobody() {
    let place = Place::new();
    in_own_mounts(|| {
        let (ours, theirs) = (place.at("ours"), place.at("theirs"));
        mount_tmpfs(&ours);
        mount_tmpfs(&theirs);
        set_mode(place.dir(), 0o755);
        set_mode(&theirs, 0o777);
        let overlay = Overlay::mount(&ours)?;
        let (dead, alike) = (
            overlay.merged.join(named("strangers")),
            theirs.join(named("strangers")),
        );
        let number = |path: &Path| fs::metadata(path).unwrap().ino();
        let make = |user: u32| {
            let make = || serving(Kind::Stream, &alike);
            let server = match user {
                0 => Some(make()),
                _ => as_nobody(make),
            };
            copy_time(&dead, &alike, 0);
            server
        };
        leave_stale(&dead);
        // What makes it a namesake, or the rest would prove nothing.
        while number(&dead) != number_of_next(&theirs) {}
        let server = make(0)?;
        assert_eq!(number(&dead), number(&alike));
        is_left_alone(&dead, &alike);
        drop(server);
        fs::remove_file(&alike).unwrap();

        fs::remove_file(&dead).unwrap();
        leave_stale(&dead);
        while number(&dead) != number_of_next(&theirs) {}
        let _server = make(NOBODY)?;
        assert_eq!(number(&dead), number(&alike));
        is_replaced(&dead);
        Some(())
    });
}

/// The inode number that the next file of a tmpfs gets: they are counted up.
fn number_of_next(directory: &Path) -> u64 {
    let file = directory.join("counted");
    fs::write(&file, "").unwrap();
    let number = fs::metadata(&file).unwrap().ino();
    fs::remove_file(&file).unwrap();
    number + 1
}
