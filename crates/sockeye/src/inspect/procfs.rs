//! What `/proc` says of processes.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, RawDir, Stat, major, minor, openat, readlinkat_raw};
use rustix::io::Errno;
use rustix::process::Pid;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Room for some hundred entries a call of getdents64(2).
const ENTRIES: usize = 32 * 1024;

/// The command name of a process, without its newline (proc_pid_comm(5)); `None` where there is
/// no such process.
pub(crate) fn command(pid: Pid) -> Option<Vec<u8>> {
    // TASK_COMM_LEN is 16, a kernel thread's name may be up to 64
    let mut name = [0; 64];
    let name = read(&format!("/proc/{}/comm", pid.as_raw_pid()), &mut name)?;
    Some(name.trim_ascii_end().to_vec())
}

/// The effective user id of a process (proc_pid_status(5)).
pub(super) fn uid(pid: Pid) -> Option<u32> {
    let mut status = [0; 1024];
    let status = read(&format!("/proc/{}/status", pid.as_raw_pid()), &mut status)?;
    let mut lines = status.split(|&byte| byte == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"Uid:"))?;
    let effective = str::from_utf8(ids).ok()?.split_whitespace().nth(1)?;
    effective.parse().ok()
}

/// Whether it is a thread of the kernel's, which has no descriptors.
fn is_kernel_thread(pid: i32) -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000; // linux/sched.h
    let mut stat = [0; 512];
    let flags = read(&format!("/proc/{pid}/stat"), &mut stat).and_then(|stat| {
        // The name in parentheses may hold anything.
        let after = stat.rsplit(|&byte| byte == b')').next()?;
        str::from_utf8(after)
            .ok()?
            .split_whitespace()
            .nth(6)?
            .parse()
            .ok()
    });
    flags.is_some_and(|flags: u32| flags & PF_KTHREAD != 0)
}

/// The first bytes of a file of `/proc`, as many as one read gives.
fn read<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut *buffer).ok()?;
    Some(&buffer[..length])
}

/// A process that has the socket with this inode open, of those whose descriptors we may read.
pub(crate) fn holder(inode: u32) -> Option<Pid> {
    let mut found = None;
    walk(|pid, _, socket| {
        if socket != inode {
            return ControlFlow::Continue(());
        }
        found = Pid::from_raw(pid);
        ControlFlow::Break(())
    });
    found
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

/// The ids of all processes.
pub(super) fn pids() -> Vec<i32> {
    let mut pids = Vec::new();
    if let Ok(proc) = open_dir(CWD, c"/proc") {
        let mut buffer = Vec::with_capacity(ENTRIES);
        let _ = for_each_number(&proc, buffer.spare_capacity_mut(), |_, pid| {
            pids.push(pid);
            ControlFlow::Continue(())
        });
    }
    pids
}

/// Calls `visit` with pid, descriptor and inode for each socket of each process, until it breaks
/// off. Returns how many processes may not be looked into; those that end meanwhile do not count.
pub(super) fn walk(mut visit: impl FnMut(i32, i32, u32) -> ControlFlow<()>) -> usize {
    let mut denied = 0;
    let Ok(proc) = open_dir(CWD, c"/proc") else {
        return denied;
    };
    let (mut outer, mut inner) = (Vec::with_capacity(ENTRIES), Vec::with_capacity(ENTRIES));
    let _ = for_each_number(&proc, outer.spare_capacity_mut(), |name, pid| {
        let path = [name.to_bytes(), b"/fd"].concat();
        let visited = openat(&proc, path, DIRECTORY, Mode::empty()).and_then(|fds| {
            for_each_number(
                &fds,
                inner.spare_capacity_mut(),
                |name, fd| match socket_inode(&fds, name) {
                    Some(inode) => visit(pid, fd, inode),
                    None => ControlFlow::Continue(()),
                },
            )
        });
        match visited {
            Ok(flow) => flow,
            Err(Errno::ACCESS | Errno::PERM) if !is_kernel_thread(pid) => {
                denied += 1;
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Continue(()),
        }
    });
    denied
}

/// The inode number behind a link of `/proc/PID/fd`, if that is `socket:[N]`.
fn socket_inode(fds: &OwnedFd, name: &CStr) -> Option<u32> {
    // A longer link is cut, and is no socket.
    let mut link = [MaybeUninit::uninit(); 32];
    let (link, _) = readlinkat_raw(fds, name, &mut link[..]).ok()?;
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    number.iter().try_fold(0u32, |value, digit| {
        value
            .checked_mul(10)?
            .checked_add(u32::from(digit.checked_sub(b'0')?))
    })
}

/// Visits the entries of a directory whose names are numbers.
fn for_each_number(
    directory: &OwnedFd,
    buffer: &mut [MaybeUninit<u8>],
    mut visit: impl FnMut(&CStr, i32) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Errno> {
    let mut entries = RawDir::new(directory, buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let number = str::from_utf8(name.to_bytes())
            .ok()
            .and_then(|n| n.parse().ok());
        if let Some(number) = number
            && visit(name, number).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn open_dir(at: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    openat(at, path, DIRECTORY, Mode::empty())
}
