//! What other tools do with a socket's path, and that the README's table tells it as it is.

mod figures;
mod listing;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::Signal;

use crate::support::{Place, Process, eventually, require_peer, stale_socket};

const README: &str = include_str!("../../../../README.md");

/// The columns of the table: a server at the path in the place of `PATH`.
const SERVERS: [&[&str]; 6] = [
    &[env!("CARGO_BIN_EXE_sockeye"), "serve", "PATH"],
    &["socat", "UNIX-LISTEN:PATH,fork", "EXEC:cat"],
    &["socat", "UNIX-LISTEN:PATH,fork,unlink-early", "EXEC:cat"],
    &["nc", "-lkU", "PATH"],
    &["s6-ipcserver", "PATH", "cat"],
    &["systemd-socket-activate", "-l", "PATH", "cat"],
];

/// Starts a server with umask 022 in the directory of `path`.
fn start(server: &[&str], path: &Path) -> Process {
    let path = path.to_str().expect("a plain path");
    let mut command = Command::new("sh");
    command.args(["-c", r#"umask 022; exec "$0" "$@""#]);
    command.args(server.iter().map(|word| word.replace("PATH", path)));
    Process::spawn(&mut command)
}

/// The inode numbers of the sockets that were bound to this path and listen (proc_net_unix(5): flag
/// `__SO_ACCEPTCON`).
fn listeners(path: &Path) -> BTreeSet<String> {
    let table = fs::read("/proc/net/unix").expect("the kernel's table");
    let table = String::from_utf8_lossy(&table);
    let fields = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| {
            fields.get(3) == Some(&"00010000") && fields.get(7).copied() == path.to_str()
        })
        .map(|fields| fields[6].to_owned())
        .collect()
}

/// The listeners at this path, once there is one.
fn await_listener(path: &Path) -> BTreeSet<String> {
    eventually("somebody listens", || {
        Some(listeners(path)).filter(|found| !found.is_empty())
    })
}

/// What becomes of the file at `path` when a server is started there, beside those of `old`. They are
/// not looked up here: a read of the table can miss a socket while others are opened and closed.
fn outcome(
    server: &[&str],
    path: &Path,
    old: &BTreeSet<String>,
    [refused, taken]: [&str; 2],
) -> String {
    // While it is open, no other file gets its number.
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let before = File::from(openat(CWD, path, flags, Mode::empty()).expect("it is there"));
    let mut process = start(server, path);
    eventually("it listens or ends", || {
        let listens = !listeners(path).is_subset(old);
        (listens || process.ends_within(Duration::ZERO)).then_some(())
    });
    let before = before.metadata().expect("an open file").ino();
    let is_kept = fs::symlink_metadata(path).is_ok_and(|found| found.ino() == before);
    let outcome = if is_kept { refused } else { taken };
    outcome.to_owned()
}

fn row(name: &str, cell: impl Fn(&[&str]) -> String) -> String {
    let cells: Vec<String> = SERVERS.iter().map(|server| cell(server)).collect();
    format!("| {name} | {} |", cells.join(" | "))
}

#[track_caller]
fn readme_has(row: &str) {
    assert!(
        README.lines().any(|line| line == row),
        "README.md must have this row:\n{row}"
    );
}

fn are_there() -> bool {
    let tools = SERVERS.iter().skip(1).map(|server| server[0]);
    tools.filter(|tool| require_peer(tool).is_none()).count() == 0
}

#[test]
fn neighbours_treat_a_live_path_as_the_readme_says() {
    if !are_there() {
        return;
    }
    readme_has(&row("a second server at a live path", |server| {
        let place = Place::new();
        let path = place.socket();
        let _first = start(server, &path);
        let old = await_listener(&path);
        outcome(server, &path, &old, ["refused", "takes it"])
    }));
}

#[test]
fn neighbours_restart_over_a_dead_file_as_the_readme_says() {
    if !are_there() {
        return;
    }
    readme_has(&row(
        "a restart where a dead server left its file",
        |server| {
            let place = Place::new();
            let path = place.socket();
            stale_socket(&path);
            outcome(server, &path, &BTreeSet::new(), ["refused", "replaces it"])
        },
    ));
}

#[test]
fn neighbours_treat_a_regular_file_as_the_readme_says() {
    if !are_there() {
        return;
    }
    readme_has(&row("a regular file at the path", |server| {
        let place = Place::new();
        let path = place.socket();
        fs::write(&path, "somebody's data").expect("our own directory");
        outcome(server, &path, &BTreeSet::new(), ["kept", "deleted"])
    }));
}

#[test]
fn neighbours_make_and_leave_files_as_the_readme_says() {
    if !are_there() {
        return;
    }
    let started = |server: &[&str]| {
        let place = Place::new();
        let path = place.socket();
        let process = start(server, &path);
        await_listener(&path);
        (place, path, process)
    };
    readme_has(&row("the mode of the file at umask 022", |server| {
        let (_place, path, _process) = started(server);
        let mode = fs::symlink_metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        format!("0{:o}", mode & 0o7777)
    }));
    readme_has(&row("the file after SIGTERM", |server| {
        let (_place, path, mut process) = started(server);
        process.signal(Signal::TERM);
        process.wait();
        let is_left = path.symlink_metadata().is_ok();
        if is_left { "left" } else { "removed" }.to_owned()
    }));
}
