//! Threads that are another user, in another directory or in another network namespace. The kernel
//! keeps all three by thread, so nothing else in this process notices.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{
    UnshareFlags, gettid, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::{PATIENCE, skipped};

/// A user who owns nothing here.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `act` as [`NOBODY`]; `None` (and says so) where we may not.
pub(crate) fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> Option<T> {
    as_nobody_in(&[], act)
}

/// As [`as_nobody`], with these supplementary groups.
pub(crate) fn as_nobody_in<T: Send>(groups: &[u32], act: impl FnOnce() -> T + Send) -> Option<T> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    if !is_root() {
        skipped("only root can become another user");
        return None;
    }
    Some(in_thread(|| {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&groups).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
        act()
    }))
}

/// Runs `act` with `directory` as the working directory, which it may change.
pub(crate) fn in_own_directory<T: Send>(directory: &Path, act: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        unshare(UnshareFlags::FS).unwrap();
        std::env::set_current_dir(directory).unwrap();
        act()
    })
}

/// Runs `act` under that umask.
pub(crate) fn with_umask<T: Send>(umask: u32, act: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        unshare(UnshareFlags::FS).unwrap();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        act()
    })
}

/// Runs `act` in a new network namespace; `None` (and says so) where we may not.
pub(crate) fn in_own_network<T: Send>(act: impl FnOnce() -> T + Send) -> Option<T> {
    let made = in_thread(|| unshare(UnshareFlags::NEWNET).map(|()| act()));
    match made {
        Ok(value) => Some(value),
        Err(errno) => {
            skipped(&format!("no other network namespace: {errno}"));
            None
        }
    }
}

#[expect(
    deprecated,
    reason = "unshare_unsafe is for CLONE_FILES, which is not asked for here"
)]
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    rustix::thread::unshare(flags)
}

pub(super) fn in_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(act).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A thread that blocks in one call.
pub(crate) struct Task<T> {
    id: i32,
    thread: thread::JoinHandle<T>,
}

impl<T: Send + 'static> Task<T> {
    pub(crate) fn start(act: impl FnOnce() -> T + Send + 'static) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            tell.send(gettid().as_raw_pid()).unwrap();
            act()
        });
        let id = told.recv().unwrap();
        Self { id, thread }
    }

    /// Waits until it sleeps in the kernel; whoever ends instead is found out by [`Task::join`].
    pub(crate) fn wait_until_asleep(&self) {
        let start = Instant::now();
        while !self.thread.is_finished() {
            let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.id));
            if stat.is_ok_and(|stat| stat.contains(") S ")) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it never sleeps");
            thread::yield_now();
        }
    }

    pub(crate) fn join(self) -> T {
        match self.thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
