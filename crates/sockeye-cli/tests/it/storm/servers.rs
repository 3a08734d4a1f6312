//! The servers of a storm, and what is done to them.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{LONGEST, Random};
use crate::support::{Place, Server as Support};

/// As many at a time.
const MOST: usize = 6;
/// A frozen one goes on after this.
const FROZEN: Duration = Duration::from_millis(1500);
/// How far a client's clock may be behind what was done to a server: another thread's turn.
const SLACK: Duration = Duration::from_millis(500);

struct Server {
    child: Child,
    number: usize,
    frozen: Option<Instant>,
}

/// What was done how often.
#[derive(Debug, Default)]
pub(super) struct Done {
    started: usize,
    terminated: usize,
    killed: usize,
    frozen: usize,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "started {}, terminated {}, killed {}, frozen {}",
            self.started, self.terminated, self.killed, self.frozen
        )
    }
}

pub(super) struct Servers {
    place_of_logs: Place,
    socket: PathBuf,
    running: Vec<Server>,
    /// When servers were killed, or ended and said that they had cut something off.
    losses: Vec<Instant>,
    pub(super) done: Done,
}

impl Servers {
    pub(super) fn new(socket: &Path) -> Self {
        Self {
            place_of_logs: Place::new(),
            socket: socket.to_owned(),
            running: Vec::new(),
            losses: Vec::new(),
            done: Done::default(),
        }
    }

    pub(super) fn start(&mut self) {
        let number = self.done.started;
        self.done.started += 1;
        let file = |what: &str| {
            let path = self.place_of_logs.at(format!("{what}.{number}"));
            File::create(path).expect("a new file")
        };
        let mut command: Command = Support::command(&["--takeover", "--drain", "10s"]);
        let child = command
            .arg(&self.socket)
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .expect("sockeye");
        self.running.push(Server {
            child,
            number,
            frozen: None,
        });
    }

    /// Does something at random. Without kills, nothing may be lost.
    pub(super) fn disturb(&mut self, random: &mut Random, kills: bool) {
        self.reap();
        let now = Instant::now();
        for server in &mut self.running {
            if server.frozen.is_some_and(|since| now - since > FROZEN) {
                server.thaw();
            }
        }
        let Some(last) = self.running.len().checked_sub(1) else {
            return self.start();
        };
        let which = random.below(last as u64 + 1) as usize;
        let server = &mut self.running[which];
        match random.below(16) {
            0..7 if last + 1 < MOST => self.start(),
            7..10 => {
                self.done.terminated += 1;
                server.signal(Signal::TERM);
            }
            10 if kills => {
                self.done.killed += 1;
                self.losses.push(now);
                server.signal(Signal::KILL);
            }
            11..14 => {
                self.done.frozen += 1;
                server.frozen.get_or_insert(now);
                server.signal(Signal::STOP);
            }
            _ => server.thaw(),
        }
    }

    /// All go on, and one that serves is left.
    pub(super) fn settle(&mut self) {
        if self.running.is_empty() {
            self.start();
        }
        for server in &mut self.running {
            server.thaw();
        }
        // Twice: for those that wait, and for a drain.
        let end = Instant::now() + 2 * LONGEST;
        loop {
            self.reap();
            match self.running.as_slice() {
                [] => self.start(),
                [only] if self.says(only.number, "listening on") => return,
                _ => {}
            }
            assert!(Instant::now() < end, "no single owner: {}", self.tell());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Terminates the last one.
    pub(super) fn end(&mut self) {
        for server in &self.running {
            server.signal(Signal::TERM);
        }
        let end = Instant::now() + LONGEST;
        while !self.running.is_empty() {
            self.reap();
            assert!(Instant::now() < end, "it does not end: {}", self.tell());
            thread::sleep(Duration::from_millis(5));
        }
        let directory = self.socket.parent().expect("a directory");
        let left = fs::read_dir(directory).expect("it is there").count();
        assert_eq!(left, 0, "nothing is left");
    }

    /// Takes note of those that have ended.
    fn reap(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            let server = &mut self.running[index];
            let Some(status) = server.child.try_wait().expect("our own child") else {
                index += 1;
                continue;
            };
            let number = server.number;
            self.running.swap_remove(index);
            match status.code() {
                Some(0) => assert!(
                    !self.says(number, "stopped: ") || self.says(number, "aborted 0,"),
                    "exit 0: {}",
                    self.said(number)
                ),
                // Killed, or it has said so.
                None | Some(7) => self.losses.push(Instant::now()),
                code => panic!("server {number} ended with {code:?}: {}", self.said(number)),
            }
        }
    }

    /// Whether something may have been lost between these moments.
    pub(super) fn admit_loss(&self, begin: Instant, end: Instant) -> bool {
        self.losses
            .iter()
            .any(|&loss| loss + SLACK > begin && loss < end + SLACK)
    }

    /// How often each request was logged.
    pub(super) fn logged(&self) -> HashMap<u64, u32> {
        let mut logged = HashMap::new();
        for number in 0..self.done.started {
            let path = self.place_of_logs.at(format!("out.{number}"));
            let text = fs::read_to_string(path).expect("its output");
            for line in text.lines() {
                let (_, request) = line.rsplit_once(": storm ").expect("a line of a request");
                *logged
                    .entry(request.parse().expect("a number"))
                    .or_default() += 1;
            }
        }
        logged
    }

    fn said(&self, number: usize) -> String {
        let path = self.place_of_logs.at(format!("err.{number}"));
        fs::read_to_string(path).unwrap_or_default()
    }

    fn says(&self, number: usize, words: &str) -> bool {
        self.said(number).contains(words)
    }

    fn tell(&self) -> String {
        let numbers = self.running.iter().map(|server| server.number);
        let said = numbers.map(|number| format!("server {number}: {}", self.said(number)));
        said.collect::<Vec<_>>().join("\n")
    }
}

impl Server {
    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn thaw(&mut self) {
        self.frozen = None;
        self.signal(Signal::CONT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
