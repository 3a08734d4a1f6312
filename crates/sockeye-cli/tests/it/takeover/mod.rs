//! Restart without a gap.

mod clients;
mod hand_over;
mod killed;
mod restart;

use std::path::Path;

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
