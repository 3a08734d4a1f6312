//! A copy of this process (fork(2)), for a system call that may never return.

use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open,
    set_parent_process_death_signal, waitpid,
};

use super::signal_mask;

/// Runs `work` in a copy of this process, with the writing end of a pipe and no other
/// file descriptor. Returns the reading end and the child's pidfd.
///
/// libc's fork(3) is taken, since it keeps malloc usable in the child of a process with threads.
/// A lock that another thread held at that moment stays locked in the child, so `work` should only
/// look at files and compute; if it waits for one after all, the caller's deadline ends it.
///
/// # Errors
/// As pipe(2), fork(2) and pidfd_open(2).
pub(crate) fn fork(work: impl FnOnce(PipeWriter)) -> io::Result<(PipeReader, OwnedFd)> {
    let (reader, writer) = pipe()?;
    // SAFETY: the child runs `run_child` alone, which never returns to the callers of this frame.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => run_child(writer, work),
        pid => {
            drop(writer);
            let (_, pidfd) = child_of(pid)?;
            Ok((reader, pidfd))
        }
    }
}

/// Runs `work` in a copy of this process that is to outlive it, with these file descriptors and no
/// other. Returns its pid and its pidfd.
///
/// As in [`fork`], a lock that another thread held stays locked there: `work` should take neither locks
/// nor memory.
///
/// # Errors
/// As fork(2) and pidfd_open(2).
#[cfg(feature = "tokio")]
pub(crate) fn fork_survivor<const N: usize>(
    mut kept: [RawFd; N],
    work: impl FnOnce(),
) -> io::Result<(Pid, OwnedFd)> {
    kept.sort_unstable();
    // A signal for this process is not to end the copy.
    // SAFETY: the child runs one branch alone, which never returns to the callers of this frame.
    let pid = signal_mask::while_blocked(|| match unsafe { libc::fork() } {
        0 => {
            close_all_but(&kept);
            let work = std::panic::AssertUnwindSafe(work);
            let code = i32::from(std::panic::catch_unwind(work).is_err());
            // SAFETY: as in `run_child`.
            unsafe { libc::_exit(code) }
        }
        pid => pid,
    });
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    child_of(pid)
}

/// The pid and a pidfd of a new child.
fn child_of(pid: i32) -> io::Result<(Pid, OwnedFd)> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork(2) gave no pid"))?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok((pid, pidfd)),
        Err(error) => {
            // Nobody else knows of it, and its pid is its own until it is reaped.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            Err(error.into())
        }
    }
}

fn run_child(writer: PipeWriter, work: impl FnOnce(PipeWriter)) -> ! {
    // A handler of the parent's would write to what the two share; a copy that is stuck must not
    // outlive it, nor keep its pipes and locks open.
    signal_mask::block_all();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    close_all_but(&[writer.as_raw_fd()]);
    let work = std::panic::AssertUnwindSafe(move || work(writer));
    let code = i32::from(std::panic::catch_unwind(work).is_err());
    // SAFETY: _exit(2) ends this copy without the parent's destructors and exit handlers.
    unsafe { libc::_exit(code) }
}

/// Closes every file descriptor but these, which are sorted; the standard ones too.
fn close_all_but(kept: &[RawFd]) {
    let close = |first: u32, last: u32| {
        if first <= last {
            // SAFETY: this copy uses none of them any more, whoever owns them in its memory.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if closed != 0 {
                // With the parent's fds it could keep its pipes and locks open.
                // SAFETY: as in `run_child`.
                unsafe { libc::_exit(1) };
            }
        }
    };
    let mut first = 0;
    for fd in kept {
        let fd = fd.cast_unsigned();
        if let Some(below) = fd.checked_sub(1) {
            close(first, below);
        }
        first = fd + 1;
    }
    close(first, u32::MAX);
}
