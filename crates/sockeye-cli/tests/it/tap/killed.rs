//! A tap that is killed leaves the world as it was: its guardian restores the path.

use std::path::PathBuf;
use std::thread;

use rustix::process::{Pid, Signal, getsid, kill_process};

use super::{Echo, ask, started, tap};
use crate::support::{Process, eventually, run};

/// The guardian of a tap: its only child.
pub(super) fn guardian(tap: &Process) -> Pid {
    let id = tap.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let pid = children.split_whitespace().next().expect("a guardian");
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

fn proc(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_pid()))
}

#[test]
fn the_guardian_holds_nothing_but_what_it_needs() {
    let echo = Echo::start();
    let mut tap = started(&[], &echo.place.socket());
    let guardian = guardian(&tap);
    assert_eq!(getsid(Some(guardian)), Ok(guardian));
    // A pidfd, the directory, and the lock.
    let fds = std::fs::read_dir(proc(guardian, "fd")).unwrap().count();
    assert_eq!(fds, 3);
    assert_eq!(
        std::fs::read_link(proc(guardian, "cwd")).unwrap(),
        PathBuf::from("/")
    );
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert!(!proc(guardian, "").exists());
}

#[test]
fn the_guardian_restores_the_path_of_a_killed_tap() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for _ in 0..10 {
        let mut tap = started(&[], &path);
        assert_eq!(ask(&path, b"x").unwrap(), b"x");
        tap.signal(Signal::KILL);
        tap.wait();
        eventually("it is restored", || echo.is_restored().then_some(()));
        assert_eq!(ask(&path, b"y").unwrap(), b"y");
    }
}

#[test]
fn a_tap_that_is_killed_at_its_start_leaves_nothing() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for round in 0..40_u64 {
        let mut tap = Process::spawn(&mut tap(&[], &path));
        // From before main to the first client.
        thread::sleep(std::time::Duration::from_micros(round * 500));
        tap.signal(Signal::KILL);
        tap.wait();
        eventually("the server is at the path", || {
            (echo.inode_now() == Some(echo.inode)).then_some(())
        });
        assert_eq!(ask(&path, b"y").unwrap(), b"y");
    }
    // What was left before the guardian had begun.
    let mut tap = started(&[], &path);
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert!(echo.is_restored());
}

#[test]
fn a_path_whose_tap_and_guardian_were_killed_is_restored_on_request() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for by_another_tap in [false, true, false] {
        let mut killed = started(&[], &path);
        kill_process(guardian(&killed), Signal::KILL).unwrap();
        killed.signal(Signal::KILL);
        killed.wait();
        assert!(ask(&path, b"x").is_err());
        if by_another_tap {
            let mut tap = started(&[], &path);
            assert_eq!(ask(&path, b"x").unwrap(), b"x");
            tap.signal(Signal::TERM);
            assert_eq!(tap.finish().code, Some(0));
        } else {
            let restored = run(&mut tap(&["--restore"], &path));
            assert_eq!(restored.code, Some(0), "{restored:?}");
            assert!(restored.stderr.contains("restored"), "{restored:?}");
        }
        assert!(echo.is_restored());
        assert_eq!(ask(&path, b"x").unwrap(), b"x");
    }
    let before = echo.place.snapshot();
    run(&mut tap(&["--restore"], &path)).fails(3, &["nothing was changed"]);
    assert_eq!(echo.place.snapshot(), before);
}

#[test]
fn a_server_that_has_come_after_a_killed_tap_is_left() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut killed = started(&[], &path);
    kill_process(guardian(&killed), Signal::KILL).unwrap();
    killed.signal(Signal::KILL);
    killed.wait();
    std::fs::remove_file(&path).unwrap();
    // Its inode number may be that of the tap's file.
    let inode = super::echo_at(&path);
    let restored = run(&mut tap(&["--restore"], &path));
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(restored.stderr.contains("has replaced"), "{restored:?}");
    assert_eq!(echo.inode_now(), Some(inode));
    assert_eq!(echo.place.names(), ["app.sock"]);
    assert_eq!(ask(&path, b"x").unwrap(), b"x");
}

#[test]
fn a_running_server_is_put_back_though_the_file_of_its_killed_tap_was_removed() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for by_another_tap in [false, true] {
        let mut killed = started(&[], &path);
        kill_process(guardian(&killed), Signal::KILL).unwrap();
        killed.signal(Signal::KILL);
        killed.wait();
        std::fs::remove_file(&path).unwrap();
        if by_another_tap {
            let mut tap = started(&[], &path);
            tap.signal(Signal::TERM);
            assert_eq!(tap.finish().code, Some(0));
        } else {
            let restored = run(&mut tap(&["--restore"], &path));
            assert_eq!(restored.code, Some(0), "{restored:?}");
            assert!(restored.stderr.contains("restored"), "{restored:?}");
        }
        assert!(echo.is_restored());
        assert_eq!(ask(&path, b"x").unwrap(), b"x");
    }
}
