//! A new process that runs another program (clone(2) with `CLONE_VFORK`, then execve(2)).
//!
//! posix_spawn(3) can give the program neither its own pid in a variable, as `LISTEN_PID` and
//! `UNIXLOCALPID` want it, nor a limit of its own, nor us its pidfd.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How a program is to be started.
pub(crate) struct Spawn<'a, A, E> {
    pub(crate) path: &'a CStr,
    pub(crate) arguments: A,
    pub(crate) environment: E,
    /// The variable that is to hold the pid of the new process.
    pub(crate) pid_variable: Option<&'a str>,
    /// What it gets, and under which number. Other numbers up to the highest of these, and those
    /// up to 2, it shares with us; above there are none.
    pub(crate) descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    pub(crate) open_files: Option<libc::rlimit>,
}

/// The child needs some hundred bytes for its frames, and no signal handler runs on it.
const STACK: usize = 16 * 1024;
const SIGNALS: usize = 64;
/// The digits of a pid, and a NUL byte.
const PID_ROOM: usize = 11;

#[repr(C, align(16))]
struct Stack([MaybeUninit<u8>; STACK]);

/// What the child works with. It lies in our memory, and we stand still while it does.
struct Plan {
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    pid_room: *mut u8,
    descriptors: *const (RawFd, RawFd),
    descriptors_count: usize,
    close_from: RawFd,
    open_files: *const libc::rlimit,
    errno: c_int,
}

impl<'a, A, E> Spawn<'a, A, E>
where
    A: Iterator<Item = &'a CStr>,
    E: Iterator<Item = &'a CStr>,
{
    /// Starts the program in a process group of its own, with default signal dispositions and no
    /// signal blocked. Returns once it runs, with a pidfd that is close-on-exec.
    ///
    /// # Errors
    /// As clone(2), dup2(2), close_range(2) (Linux 5.9), setrlimit(2) and execve(2).
    pub(crate) fn start(self) -> io::Result<(Pid, OwnedFd)> {
        let arguments = pointers(self.arguments);
        let mut environment = pointers(self.environment);
        let mut own_pid = Vec::new();
        let mut pid_room = ptr::null_mut();
        if let Some(name) = self.pid_variable {
            own_pid.extend_from_slice(name.as_bytes());
            own_pid.push(b'=');
            let digits = own_pid.len();
            own_pid.resize(digits + PID_ROOM, 0);
            pid_room = own_pid[digits..].as_mut_ptr();
            environment.insert(0, own_pid.as_ptr().cast());
        }
        // Above all numbers that are given away, so that none is overwritten before its turn.
        let close_from = 1 + self
            .descriptors
            .iter()
            .fold(2, |most, (_, to)| most.max(*to));
        let mut moved = Vec::new();
        let mut descriptors = Vec::with_capacity(self.descriptors.len());
        for (from, to) in self.descriptors {
            let mut raw = from.as_raw_fd();
            if raw < close_from {
                moved.push(rustix::io::fcntl_dupfd_cloexec(from, close_from)?);
                raw = moved[moved.len() - 1].as_raw_fd();
            }
            descriptors.push((raw, *to));
        }
        let mut plan = Plan {
            path: self.path.as_ptr(),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            pid_room,
            descriptors: descriptors.as_ptr(),
            descriptors_count: descriptors.len(),
            close_from,
            open_files: self.open_files.as_ref().map_or(ptr::null(), ptr::from_ref),
            errno: 0,
        };
        let (pid, pidfd) = run(&mut plan)?;
        if plan.errno != 0 {
            // It has ended already; how is known.
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            return Err(io::Error::from_raw_os_error(plan.errno));
        }
        Ok((pid, pidfd))
    }
}

/// An array as execve(2) wants it.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    let strings = strings.map(CStr::as_ptr);
    strings.chain([ptr::null()]).collect()
}

fn run(plan: &mut Plan) -> io::Result<(Pid, OwnedFd)> {
    let mut stack = Stack([MaybeUninit::uninit(); STACK]);
    let mut pidfd: RawFd = -1;
    // A handler of ours that ran in the child would write to our memory.
    let mask = set_mask(&full_set())?;
    // SAFETY: `child` runs on a stack of its own, which lives until after the call, and so does
    // what `plan` points to: with CLONE_VFORK the call returns once the child has left our memory.
    let pid = unsafe {
        libc::clone(
            child,
            (&raw mut stack).add(1).cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
            ptr::from_mut(plan).cast(),
            &raw mut pidfd,
        )
    };
    let failed = io::Error::last_os_error();
    set_mask(&mask)?;
    match Pid::from_raw(pid.max(0)) {
        // SAFETY: the kernel has just installed this fd for us alone.
        Some(pid) => Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
        None => Err(failed),
    }
}

/// In the new process, which must neither allocate nor panic.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: it is the plan of `run`, which nobody else looks at before we have left; the pointers
    // in it are valid. errno is the calling thread's, which stands still.
    unsafe {
        let plan = &mut *plan.cast::<Plan>();
        execute(plan);
        plan.errno = *libc::__errno_location();
    }
    127
}

/// Becomes the program. Returns only where that fails, with errno set.
///
/// # Safety
/// Only in the child of [`run`], with pointers that are valid: nothing in here is more than a
/// system call.
unsafe fn execute(plan: &Plan) {
    // SAFETY: as the caller says. Signals and limits are changed for this process only, and those
    // signals that cannot be changed are refused.
    unsafe {
        // The system call itself: libc keeps two signals to itself, which may be ignored all the
        // same. A kernel's struct sigaction that is all zero is SIG_DFL without flags.
        let default = [0_u64; 8];
        for signal in 1..=SIGNALS {
            let none = ptr::null_mut::<c_void>();
            libc::syscall(libc::SYS_rt_sigaction, signal, &default, none, SIGNALS / 8);
        }
        if libc::setpgid(0, 0) != 0 {
            return;
        }
        for index in 0..plan.descriptors_count {
            let (from, to) = *plan.descriptors.add(index);
            if libc::dup2(from, to) < 0 {
                return;
            }
        }
        let (first, last) = (plan.close_from as libc::c_uint, libc::c_uint::MAX);
        if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
            return;
        }
        if !plan.open_files.is_null() && libc::setrlimit(libc::RLIMIT_NOFILE, plan.open_files) != 0
        {
            return;
        }
        if !plan.pid_room.is_null() {
            write_pid(plan.pid_room);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve(plan.path, plan.arguments, plan.environment);
    }
}

/// Our pid in digits, with a NUL byte.
///
/// # Safety
/// `room` is valid for [`PID_ROOM`] bytes.
unsafe fn write_pid(room: *mut u8) {
    // SAFETY: getpid(2) has no conditions.
    let pid = unsafe { libc::getpid() };
    let mut power = 1;
    while pid / power >= 10 {
        power *= 10;
    }
    let mut at = 0;
    while power > 0 && at < PID_ROOM - 1 {
        // SAFETY: `at` lies within the room; the rest of it is NUL.
        unsafe { *room.add(at) = b'0' + (pid / power % 10) as u8 };
        power /= 10;
        at += 1;
    }
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset(3) initialises the set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Sets this thread's signal mask and returns the one before.
fn set_mask(mask: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both pointers are valid, and on success the second set is initialised.
    unsafe {
        match libc::pthread_sigmask(libc::SIG_SETMASK, mask, before.as_mut_ptr()) {
            0 => Ok(before.assume_init()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
