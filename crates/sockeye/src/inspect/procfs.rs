//! What `/proc` says of processes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{
    CWD, Mode, OFlags, RawDir, Stat, fstat, getxattr, major, minor, openat, readlinkat_raw, stat,
};
use rustix::io::Errno;
use rustix::path::DecInt;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::socket::{Holder, Process};
use crate::{ids, sys};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Room for some hundred entries a call of getdents64(2).
const ENTRIES: usize = 32 * 1024;
/// More threads than this only wait for one another in the kernel.
const MOST_THREADS: usize = 4;
/// How many fds of one process are worth a thread of their own.
const WORTH_SHARING: usize = 2048;

/// The command name of a process, without its newline (proc_pid_comm(5)); `None` where there is
/// no such process.
pub(crate) fn command(pid: Pid) -> Option<Vec<u8>> {
    // TASK_COMM_LEN is 16, a kernel thread's name may be up to 64
    let mut name = [0; 64];
    let name = read(&format!("/proc/{}/comm", pid.as_raw_pid()), &mut name)?;
    Some(name.strip_suffix(b"\n").unwrap_or(name).to_vec())
}

/// The effective user id of a process (proc_pid_status(5)).
pub(super) fn uid(pid: Pid) -> Option<u32> {
    let mut status = [0; 1024];
    let status = read(&format!("/proc/{}/status", pid.as_raw_pid()), &mut status)?;
    ids::uid(effective_uid(status)?)
}

pub(crate) fn effective_uid(status: &[u8]) -> Option<u32> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"Uid:"))?;
    let effective = str::from_utf8(ids).ok()?.split_whitespace().nth(1)?;
    effective.parse().ok()
}

/// The pid of the process that a pidfd refers to, as `/proc` numbers it (proc_pid_fdinfo(5)); `None`
/// where it has ended, or lies outside of the pid namespace.
pub(crate) fn process_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<Pid>> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = std::fs::read_to_string(path)?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = pid.and_then(|pid| pid.trim().parse().ok());
    Ok(pid.filter(|&pid| pid > 0).and_then(Pid::from_raw))
}

/// As whom a process runs (proc_pid_status(5)), in the numbers that the kernel shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Real, effective, saved and file system id.
    pub(crate) uids: Vec<u32>,
    pub(crate) groups: Vec<u32>,
}

impl Identity {
    /// # Errors
    /// `ESRCH` where there is no such process; as open(2) and read(2).
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        let status = match std::fs::read(format!("/proc/{}/status", pid.as_raw_pid())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Errno::SRCH.into()),
            status => status?,
        };
        Self::parse(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(status: &[u8]) -> Option<Self> {
        let numbers = |name: &[u8]| -> Option<Vec<u32>> {
            let mut lines = status.split(|&byte| byte == b'\n');
            let line = lines.find_map(|line| line.strip_prefix(name))?;
            let numbers = str::from_utf8(line).ok()?.split_whitespace();
            numbers.map(|number| number.parse().ok()).collect()
        };
        let uids = numbers(b"Uid:").filter(|uids| uids.len() == 4)?;
        let groups = numbers(b"Groups:")?;
        Some(Self { uids, groups })
    }
}

/// Whether it is a thread of the kernel's, which has no fds.
fn is_kernel_thread(pid: i32) -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000; // linux/sched.h
    let mut line = [0; 512];
    let flags = read(&format!("/proc/{pid}/stat"), &mut line).and_then(flags);
    flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// The flags in the line of `/proc/PID/stat` (proc_pid_stat(5)).
pub(crate) fn flags(stat: &[u8]) -> Option<u32> {
    // The name in parentheses may hold anything.
    let after = stat.rsplit(|&byte| byte == b')').next()?;
    let mut fields = str::from_utf8(after).ok()?.split_whitespace();
    fields.nth(6)?.parse().ok()
}

/// The first bytes of a file of `/proc`, as many as one read gives.
fn read<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut *buffer).ok()?;
    Some(&buffer[..length])
}

/// A duplicate of another process's fd, if that is still the socket with this inode.
///
/// # Errors
/// `EPERM` without `CAP_SYS_PTRACE` there; `ESTALE` where the fd is another one by now.
pub(super) fn duplicate(pid: i32, fd: i32, inode: u32) -> Result<OwnedFd, Errno> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let socket = pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?;
    if fstat(&socket)?.st_ino == u64::from(inode) {
        Ok(socket)
    } else {
        Err(Errno::STALE)
    }
}

/// A process that has the socket with this inode open, of those whose fds we may read.
pub(crate) fn holder(inode: u32) -> Option<Pid> {
    let found = walk().found;
    let open = found.iter().find(|open| open.inode == inode)?;
    Pid::from_raw(open.process.pid)
}

/// The process that took the flock(2) on this file, from `/proc/locks` (proc_locks(5)).
pub(crate) fn lock_holder(file: &Stat) -> Option<Pid> {
    let (device, inode) = (file.st_dev, file.st_ino);
    let id = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    locked_by(&std::fs::read_to_string("/proc/locks").ok()?, &id)
}

/// Who took the flock(2) on the file with this `MAJOR:MINOR:INODE`.
pub(crate) fn locked_by(locks: &str, id: &str) -> Option<Pid> {
    let lines = locks.lines().map(|line| line.split_whitespace().collect());
    lines
        .filter(|fields: &Vec<&str>| fields.get(1) == Some(&"FLOCK"))
        .find(|fields| fields.get(5) == Some(&id))
        .and_then(|fields| Pid::from_raw(fields.get(4)?.parse().ok()?))
}

/// The ids of all processes.
pub(crate) fn pids() -> Vec<i32> {
    let mut pids = Vec::new();
    if let Ok(proc) = openat(CWD, "/proc", DIRECTORY, Mode::empty()) {
        let mut buffer = Vec::with_capacity(ENTRIES);
        // What cannot be read is left out, as if it had ended.
        let _ = for_each_number(&proc, buffer.spare_capacity_mut(), |pid| pids.push(pid));
    }
    pids
}

/// A socket that a process has open.
pub(super) struct Open {
    pub(super) process: Arc<Process>,
    /// The thread whose fd it is, which is nearly always that of the process.
    task: i32,
    pub(super) fd: i32,
    pub(super) inode: u32,
}

impl Open {
    pub(super) fn holder(&self) -> Holder {
        Holder {
            process: Arc::clone(&self.process),
            fd: self.fd,
        }
    }

    /// Whether it is still open, and a UNIX socket (xattr(7): the name of the protocol).
    pub(super) fn is_unix(&self) -> bool {
        let path = format!("/proc/{}/fd/{}", self.task, self.fd);
        let mut name = [0; 32];
        getxattr(&path, "system.sockprotoname", &mut name).is_ok()
            && name.starts_with(b"UNIX")
            && stat(&path).is_ok_and(|stat| stat.st_ino == u64::from(self.inode))
    }
}

/// What a walk over all processes has found.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) found: Vec<Open>,
    /// How many processes may not be looked into; those that ended meanwhile do not count.
    pub(super) denied: usize,
}

/// Finds the sockets, of any family, that all processes have open. Nearly all of the time goes into
/// one readlinkat(2) for each fd, so it is shared by some threads.
pub(super) fn walk() -> Walk {
    let pids = pids();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut walk = Walk::default();
        let mut buffer = Vec::with_capacity(ENTRIES);
        while let Some(&pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            match look_into(pid, threads, buffer.spare_capacity_mut()) {
                Ok(found) => walk.found.extend(found),
                Err(Errno::ACCESS | Errno::PERM) if !is_kernel_thread(pid) => walk.denied += 1,
                Err(_) => {}
            }
        }
        walk
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            // It cannot panic; and if it did, its share would be missing and not wrong.
            let Walk { found, denied } = other.join().unwrap_or_default();
            all.found.extend(found);
            all.denied += denied;
        }
        all
    })
}

/// The sockets that one process has open.
fn look_into(pid: i32, threads: usize, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<Open>, Errno> {
    let mut sockets = sockets_of(pid, pid, threads, buffer)?;
    for task in apart(pid, buffer) {
        // It may have ended.
        let more = sockets_of(pid, task, threads, buffer).unwrap_or_default();
        sockets.extend(more);
    }
    Ok(sockets)
}

/// The threads of a process that have fds of their own: after unshare(2) with
/// `CLONE_FILES`, or because the first thread has ended.
fn apart(pid: i32, buffer: &mut [MaybeUninit<u8>]) -> Vec<i32> {
    let path = format!("/proc/{pid}/task");
    let mut tasks = Vec::new();
    // It has a link for each thread, beside the usual two.
    let has_more = stat(&path).is_ok_and(|stat| stat.st_nlink > 3);
    if has_more && let Ok(directory) = openat(CWD, path, DIRECTORY, Mode::empty()) {
        // What cannot be read is left out, as if it had ended.
        let _ = for_each_number(&directory, buffer, |task| tasks.push(task));
        tasks.retain(|&task| task != pid && sys::task::share_descriptors(pid, task) != Some(true));
    }
    tasks
}

/// The sockets that one thread of a process has open.
fn sockets_of(
    pid: i32,
    task: i32,
    threads: usize,
    buffer: &mut [MaybeUninit<u8>],
) -> Result<Vec<Open>, Errno> {
    let directory = openat(CWD, format!("/proc/{task}/fd"), DIRECTORY, Mode::empty())?;
    let mut fds = Vec::new();
    for_each_number(&directory, buffer, |fd| fds.push(fd))?;
    // The directory may be open to us and the links in it not.
    let sockets_among = |fds: &[i32]| -> Result<Vec<(i32, u32)>, Errno> {
        let mut sockets = Vec::new();
        for &fd in fds {
            match socket_inode(&directory, fd) {
                Ok(Some(inode)) => sockets.push((fd, inode)),
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(errno),
                // Something else, or closed meanwhile.
                Ok(None) | Err(_) => {}
            }
        }
        Ok(sockets)
    };
    let sockets = if fds.len() < WORTH_SHARING {
        sockets_among(&fds)?
    } else {
        std::thread::scope(|scope| {
            let shares = fds.chunks(fds.len().div_ceil(threads));
            let shares: Vec<_> = shares
                .map(|share| scope.spawn(|| sockets_among(share)))
                .collect();
            let mut sockets = Vec::new();
            for share in shares {
                sockets.extend(share.join().unwrap_or(Err(Errno::SRCH))?);
            }
            Ok::<_, Errno>(sockets)
        })?
    };
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let id = Pid::from_raw(pid);
    let process = Arc::new(Process {
        pid,
        command: id.and_then(command),
        uid: id.and_then(uid),
    });
    let open = |(fd, inode)| Open {
        process: Arc::clone(&process),
        task,
        fd,
        inode,
    };
    Ok(sockets.into_iter().map(open).collect())
}

/// The inode number behind a link of `/proc/PID/fd`, if that is `socket:[N]`.
fn socket_inode(directory: &OwnedFd, fd: i32) -> Result<Option<u32>, Errno> {
    // A longer link is cut, and is no socket.
    let mut link = [MaybeUninit::uninit(); 32];
    let (link, _) = readlinkat_raw(directory, DecInt::new(fd), &mut link[..])?;
    Ok(socket_in(link))
}

/// The number in `socket:[N]`.
pub(crate) fn socket_in(link: &[u8]) -> Option<u32> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// Whether all processes are visible: no pid namespace and no `hidepid` of the mount hides any.
pub(super) fn shows_everybody() -> bool {
    const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc; // PROC_PID_INIT_INO of linux/proc_ns.h
    let namespace = stat("/proc/self/ns/pid").map(|stat| stat.st_ino);
    namespace == Ok(INITIAL_PID_NAMESPACE) && stat("/proc/1").is_ok()
}

/// Visits the entries of a directory whose names are numbers.
fn for_each_number(
    directory: &OwnedFd,
    buffer: &mut [MaybeUninit<u8>],
    mut visit: impl FnMut(i32),
) -> Result<(), Errno> {
    let mut entries = RawDir::new(directory, buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = str::from_utf8(entry.file_name().to_bytes());
        if let Some(number) = name.ok().and_then(|name| name.parse().ok()) {
            visit(number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_process_is_in_its_status() {
        let status = b"Name:\ta Groups: 7\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\nGroups:\t6 70 \n";
        let expected = Identity {
            uids: vec![1, 2, 3, 4],
            groups: vec![6, 70],
        };
        assert_eq!(Identity::parse(status), Some(expected));
        let without = Identity::parse(b"Uid:\t1\t1\t1\t1\nGroups:\t \n").unwrap();
        assert!(without.groups.is_empty());
        for broken in [
            "",
            "Uid:\t1\nGroups:\n",
            "Uid:\t1 1 1 1\n",
            "Groups: 1\n",
            "Uid:\t1 1 1 x\nGroups:\n",
        ] {
            assert_eq!(Identity::parse(broken.as_bytes()), None, "{broken:?}");
        }
    }
}
