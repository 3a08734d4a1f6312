//! Descriptors that travel with messages: each arrives, and none stays behind.
//!
//! This is a program of its own since it counts its open descriptors and lowers its limit of them:
//! its tests run one at a time, and nothing else runs beside them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of a test fails the test by panicking, and says what it skips"
)]

#[cfg(feature = "tokio")]
mod activated;
mod arriving;
#[cfg(feature = "tokio")]
mod connections;
mod leaking;
#[cfg(feature = "tokio")]
mod relaying;
#[cfg(feature = "tokio")]
mod serving;
mod sockets;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static TURN: Mutex<()> = Mutex::new(());

/// Runs `act` while no other test does, and looks that it leaves no descriptor behind.
fn alone(act: impl FnOnce()) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The first one opens descriptors for signals that the process keeps.
    #[cfg(feature = "tokio")]
    drop(sockets::runtime());
    let before = open();
    act();
    all_closed();
    assert_eq!(open(), before, "what was open before is open now");
}

/// Waits for what is closed on another thread.
fn all_closed() {
    while sockeye::ancillary::unclosed() > 0 {
        std::thread::yield_now();
    }
}

/// The descriptors that are open, with what they lead to.
fn open() -> Vec<(String, String)> {
    let mut open: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            // The one that reads the directory is gone before it can be looked at.
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let target = fs::read_link(entry.path()).ok()?;
            let target = target.to_string_lossy().into_owned();
            let is_this_walk = target == format!("/proc/{}/fd", std::process::id());
            (!is_this_walk).then_some((name, target))
        })
        .collect();
    open.sort();
    open
}

/// Runs `act` while no more than `more` descriptors can be opened.
fn with_room_for<T>(more: usize, act: impl FnOnce() -> T) -> T {
    // Numbers are given away from the lowest on, so all below the limit are to be taken first.
    let highest_before = highest();
    let null = fs::File::open("/dev/null").unwrap();
    let mut gaps = vec![null];
    while gaps[gaps.len() - 1].as_raw_fd() <= highest_before {
        gaps.push(gaps[0].try_clone().unwrap());
    }
    let before = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(highest() as u64 + 1 + more as u64),
            maximum: before.maximum,
        },
    )
    .unwrap();
    let value = act();
    setrlimit(Resource::Nofile, before).unwrap();
    value
}

/// The highest number that a descriptor has.
fn highest() -> i32 {
    let number = |(name, _): &(String, String)| name.parse().unwrap();
    open().iter().map(number).max().unwrap()
}

/// So many files, each with its number as its position.
fn files(count: usize) -> Vec<OwnedFd> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = |at: usize| {
        let file = rustix::fs::memfd_create("travels", flags).unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(at as u64)).unwrap();
        file
    };
    (0..count).map(file).collect()
}

fn borrowed(files: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    files.iter().map(AsFd::as_fd).collect()
}
