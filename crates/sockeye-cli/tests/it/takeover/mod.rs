//! Restart without a gap.

pub(crate) mod clients;
mod hand_over;
mod hanging;
mod killed;
mod removed;
mod restart;
mod revoked;
mod slow;

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Process, Server};

const TAKEOVER: &[&str] = &["--takeover"];

/// Starts a server that takes over, or claims where nobody is, and does not wait for it.
#[track_caller]
fn spawn(path: &Path) -> Process {
    Process::spawn(Server::command(TAKEOVER).arg(path))
}

/// How often a race is run: `few` times, or as often as `SOCKEYE_TAKEOVER_ROUNDS` says.
fn rounds(few: usize) -> usize {
    let asked = std::env::var("SOCKEYE_TAKEOVER_ROUNDS").ok();
    asked.map_or(few, |rounds| rounds.parse().expect("a number"))
}

fn open_descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process is there")
        .count()
}

fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).expect("the socket").ino()
}

fn control_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".takeover");
    name.into()
}

/// A server that is no child of the test's: killed when dropped.
struct Orphan(Pid);

impl Drop for Orphan {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// The process that has taken over from this one.
#[track_caller]
fn successor(process: &Process) -> Orphan {
    let line = process.stderr.line("a successor", |line| {
        line.starts_with("handed over to pid ")
    });
    let pid = line.split_whitespace().nth(4).expect("a pid");
    Orphan(Pid::from_raw(pid.parse().expect("a number")).expect("not 0"))
}
