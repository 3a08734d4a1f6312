//! [`Names`]: the command names of processes, cached for repeated look-ups.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, getpid};

/// Keeps `/proc/PID/comm` of the last process open, since open(2) takes five times as long as read(2).
/// An open one belongs to the process, not to its pid: it cannot be read once the process is gone, even
/// if the pid is reused (proc_pid_comm(5)).
pub(crate) struct Names {
    last: Mutex<Option<(Pid, File)>>,
}

impl Names {
    /// Begins with this process, so that the number of open fds is the same before and after a look-up.
    pub(crate) fn new() -> Self {
        Self {
            last: Mutex::new(open(getpid())),
        }
    }

    /// As [`sockeye::Peer::command`].
    pub(crate) fn of(&self, pid: Pid) -> Option<Vec<u8>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|(known, _)| *known == pid);
        if let Some(name) = known.and_then(|(_, file)| read(file)) {
            return Some(name);
        }
        // Closed before the next is opened: the fd limit may be reached.
        *last = None;
        let opened = open(pid);
        let name = opened.as_ref().and_then(|(_, file)| read(file));
        *last = opened.or_else(|| open(getpid()));
        name
    }
}

fn open(pid: Pid) -> Option<(Pid, File)> {
    let file = File::open(format!("/proc/{}/comm", pid.as_raw_pid())).ok()?;
    Some((pid, file))
}

fn read(file: &File) -> Option<Vec<u8>> {
    // TASK_COMM_LEN is 16, a kernel thread's name may be up to 64
    let mut name = [0; 64];
    let length = file.read_at(&mut name, 0).ok()?;
    let name = &name[..length];
    Some(name.strip_suffix(b"\n").unwrap_or(name).to_vec())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_is_that_of_now() {
        let names = Names::new();
        // exec(2) changes the name and not the pid.
        let mut child = Command::new("sh")
            .args(["-c", "echo; read line; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0]).unwrap();
        assert_eq!(names.of(pid).unwrap(), b"sh");
        input.write_all(b"line\nx").unwrap();
        output.read_exact(&mut [0]).unwrap();
        assert_eq!(names.of(pid).unwrap(), b"cat");
        assert!(names.of(getpid()).is_some());
        drop(input);
        child.wait().unwrap();
        assert_eq!(names.of(pid), None);
    }
}
