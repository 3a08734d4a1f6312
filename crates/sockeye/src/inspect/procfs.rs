//! What `/proc` says of processes.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Dir, Mode, OFlags, RawDir, Stat, major, minor, openat, readlinkat_raw};
use rustix::process::Pid;

/// The command name of a process, without its newline (proc_pid_comm(5)); `None` where there is
/// no such process.
pub(crate) fn command(pid: Pid) -> Option<Vec<u8>> {
    let path = format!("/proc/{}/comm", pid.as_raw_pid());
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // TASK_COMM_LEN is 16, a kernel thread's name may be up to 64
    let mut name = [0; 64];
    let length = rustix::io::read(&file, &mut name).ok()?;
    Some(name[..length].trim_ascii_end().to_vec())
}

/// A process that has the socket with this inode open, of those whose descriptors we may read.
pub(crate) fn holder(inode: u32) -> Option<Pid> {
    let target = format!("socket:[{inode}]");
    let proc = open_dir(CWD, c"/proc")?;
    let mut entries = Dir::read_from(&proc).ok()?;
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let fds = openat(
            &proc,
            [name.to_bytes(), b"/fd"].concat(),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        if fds.is_ok_and(|fds| holds(&fds, target.as_bytes())) {
            return Pid::from_raw(pid);
        }
    }
    None
}

/// The process that took the flock(2) on this file, from `/proc/locks` (proc_locks(5)).
pub(crate) fn lock_holder(file: &Stat) -> Option<Pid> {
    let (device, inode) = (file.st_dev, file.st_ino);
    let id = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let lines = locks.lines().map(|line| line.split_whitespace().collect());
    lines
        .filter(|fields: &Vec<&str>| fields.get(1) == Some(&"FLOCK"))
        .find(|fields| fields.get(5) == Some(&id.as_str()))
        .and_then(|fields| Pid::from_raw(fields.get(4)?.parse().ok()?))
}

fn open_dir(at: impl std::os::fd::AsFd, path: &CStr) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty()).ok()
}

/// Whether one of the links in this `/proc/PID/fd` leads to `target`.
fn holds(fds: &OwnedFd, target: &[u8]) -> bool {
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(fds, buffer.spare_capacity_mut());
    while let Some(Ok(entry)) = entries.next() {
        // A longer link is cut, so it cannot equal a target.
        let mut link = [0; 64];
        let found = readlinkat_raw(fds, entry.file_name(), &mut link);
        if found.is_ok_and(|length| link[..length] == *target) {
            return true;
        }
    }
    false
}
