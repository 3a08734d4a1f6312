//! Many servers at once on one path: one owns it, the others say so and touch nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::support::{Client, PATIENCE, Place, REPLY, Server, eventually, lock_path, stale_socket};

const SERVERS: usize = 50;
const ROUNDS: usize = 6;

/// Many servers, killed and reaped when dropped.
struct Crowd {
    children: Vec<Child>,
    logs: Place,
}

impl Crowd {
    /// Starts them behind a gate, and then opens it for all.
    fn rush(path: &Path) -> Self {
        let logs = Place::new();
        let (gate, open) = std::io::pipe().expect("a pipe");
        let children = (0..SERVERS)
            .map(|index| {
                let log = File::create(logs.at(index.to_string())).expect("our own place");
                Command::new("sh")
                    .args(["-c", r#"read gate; exec "$0" serve "$1" </dev/null"#])
                    .arg(env!("CARGO_BIN_EXE_sockeye"))
                    .arg(path)
                    .stdin(gate.try_clone().expect("a descriptor"))
                    .stdout(Stdio::null())
                    .stderr(log)
                    .spawn()
                    .expect("started")
            })
            .collect();
        drop(open);
        Self { children, logs }
    }

    fn log(&self, index: usize) -> String {
        fs::read_to_string(self.logs.at(index.to_string())).expect("our own place")
    }

    /// Waits until all but one have ended, each with exit 4, and returns which one runs.
    fn winner(&mut self) -> usize {
        let end = Instant::now() + PATIENCE * 3;
        let mut running: Vec<usize> = (0..SERVERS).collect();
        while running.len() > 1 {
            let pidfds: Vec<_> = running
                .iter()
                .map(|index| {
                    let pid = Pid::from_child(&self.children[*index]);
                    pidfd_open(pid, PidfdFlags::empty()).expect("not yet reaped")
                })
                .collect();
            let mut polled: Vec<_> = pidfds
                .iter()
                .map(|pidfd| PollFd::new(pidfd, PollFlags::IN))
                .collect();
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("a short time");
            let ended = retry_on_intr(|| poll(&mut polled, Some(&timeout))).expect("polled");
            let still: Vec<String> = running.iter().map(|index| self.log(*index)).collect();
            assert!(ended > 0, "{} still run: {still:#?}", running.len());
            running.retain(|index| {
                let status = self.children[*index].try_wait().expect("our own child");
                let Some(status) = status else {
                    return true;
                };
                let log = fs::read_to_string(self.logs.at(index.to_string())).expect("a log");
                assert_eq!(status.code(), Some(4), "{log}");
                assert!(log.starts_with("sockeye: "), "{log}");
                assert_eq!(log.lines().count(), 1, "{log}");
                false
            });
        }
        running.first().copied().expect("one is left, not none")
    }

    /// Exactly one owns the path, and it is the one that answers there.
    fn one_owns(&mut self, path: &Path) -> &mut Child {
        let winner = self.winner();
        eventually("the winner listens", || {
            self.log(winner).contains("listening on ").then_some(())
        });
        let meta = fs::symlink_metadata(path).expect("nobody removed the winner's file");
        assert!(meta.file_type().is_socket());
        let mut client = Client::connect(path);
        client.converse("who is it?");
        let owner = socket_peercred(client.stream()).expect("a connected peer");
        let child = &mut self.children[winner];
        assert_eq!(owner.pid, Pid::from_child(child));
        child
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end(child: &mut Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("our own child");
    child.wait().expect("our own child");
}

#[test]
fn one_of_fifty_claims_a_stale_path() {
    let place = Place::new();
    for _ in 0..ROUNDS {
        stale_socket(&place.socket());
        let mut crowd = Crowd::rush(&place.socket());
        let owner = crowd.one_owns(&place.socket());
        end(owner, Signal::TERM);
        assert_eq!(place.names().len(), 0, "a clean end leaves nothing");
    }
}

#[test]
fn one_of_fifty_claims_the_path_of_a_killed_owner() {
    let place = Place::new();
    drop(Server::start(place.socket(), &[]));
    for _ in 0..ROUNDS {
        assert!(fs::symlink_metadata(place.socket()).is_ok(), "left behind");
        let mut crowd = Crowd::rush(&place.socket());
        let owner = crowd.one_owns(&place.socket());
        end(owner, Signal::KILL);
    }
}

#[test]
fn one_of_fifty_claims_an_absent_path() {
    let place = Place::new();
    for _ in 0..2 {
        let mut crowd = Crowd::rush(&place.socket());
        let owner = crowd.one_owns(&place.socket());
        end(owner, Signal::TERM);
        assert_eq!(place.names().len(), 0, "a clean end leaves nothing");
    }
}

#[test]
fn one_of_fifty_claims_a_long_name() {
    let place = Place::new();
    let path = place.at("s".repeat(200));
    drop(Server::start(&path, &[]));
    let mut crowd = Crowd::rush(&path);
    // Too long for a plain connect: the answer comes through `send`.
    let winner = crowd.winner();
    let sent = crate::support::run(crate::support::sockeye().arg("send").arg(&path).arg("hi"));
    assert_eq!(sent.succeeds().text(), format!("{REPLY}\n"));
    end(&mut crowd.children[winner], Signal::TERM);
    assert_eq!(place.names().len(), 0, "a clean end leaves nothing");
}

#[test]
fn a_successor_at_the_moment_of_the_end_claims_the_path() {
    let place = Place::new();
    let mut owner = Server::start(place.socket(), &[]);
    for _ in 0..30 {
        owner.terminate();
        let mut next = crate::support::Process::spawn(Server::command(&[]).arg(place.socket()));
        assert_eq!(owner.ending().code, Some(0));
        // Either it came too early and was refused, or it owns the path and keeps it.
        let refused = eventually("the next one decided", || {
            if next.stderr.so_far().contains("listening on ") {
                return Some(false);
            }
            next.ends_within(Duration::ZERO).then_some(true)
        });
        if refused {
            let finished = next.finish();
            finished.fails(4, &[]);
            assert_eq!(place.names().len(), 0);
            owner = Server::start(place.socket(), &[]);
        } else {
            assert!(lock_path(&place.socket()).exists(), "it holds its lock");
            assert_eq!(
                fs::read_dir(place.dir()).expect("our own place").count(),
                2,
                "the path and its lock"
            );
            Client::connect(place.socket()).converse("still there?");
            drop(next);
            owner = Server::start(place.socket(), &[]);
        }
    }
}
