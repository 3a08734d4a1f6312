//! Which processes are stopped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;

/// Looks at each process once.
#[derive(Debug, Default)]
pub(crate) struct Stopped(RefCell<HashMap<i32, bool>>);

impl Stopped {
    /// Whether a process runs no more until it is continued, by SIGCONT or by a debugger.
    pub(crate) fn has(&self, pid: i32) -> bool {
        let mut known = self.0.borrow_mut();
        *known.entry(pid).or_insert_with(|| is_stopped(pid))
    }
}

/// proc_pid_stat(5): the state stands behind the name, which may hold anything.
fn is_stopped(pid: i32) -> bool {
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let name_end = stat.iter().rposition(|&byte| byte == b')');
    let state = name_end.and_then(|at| stat.get(at + 2));
    matches!(state, Some(b'T' | b't'))
}
