//! Child processes: threads collect what they print, their end is awaited on a pidfd.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::{PATIENCE, eventually};

/// Bytes from a pipe, read by a thread of their own as they come.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<(Mutex<Buffer>, Condvar)>);

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    ended: bool,
}

impl Collected {
    fn from_reader(mut source: impl Read + Send + 'static) -> Self {
        let collected = Self::default();
        let writer = collected.clone();
        thread::spawn(move || {
            let mut chunk = vec![0; 65536];
            loop {
                let count = match source.read(&mut chunk) {
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => 0,
                };
                let mut buffer = writer.lock();
                buffer.bytes.extend_from_slice(&chunk[..count]);
                buffer.ended = count == 0;
                drop(buffer);
                writer.0.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        collected
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut find: impl FnMut(&[u8], bool) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut buffer = self.lock();
        loop {
            if let Some(found) = find(&buffer.bytes, buffer.ended) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !buffer.ended,
                "timed out waiting for {what}; came so far: {:?}",
                String::from_utf8_lossy(&buffer.bytes)
            );
            buffer = self
                .0
                .1
                .wait_timeout(buffer, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The first whole line that `wanted` accepts.
    #[track_caller]
    pub(crate) fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.until(what, |bytes, _| {
            whole_lines(bytes).into_iter().find(|line| wanted(line))
        })
    }

    /// The first `count` whole lines.
    #[track_caller]
    pub(crate) fn first_lines(&self, count: usize) -> Vec<String> {
        self.until(&format!("{count} lines"), |bytes, _| {
            let mut lines = whole_lines(bytes);
            (lines.len() >= count).then(|| lines.drain(..count).collect())
        })
    }

    /// The first `count` bytes.
    #[track_caller]
    pub(crate) fn first_bytes(&self, count: usize) -> Vec<u8> {
        self.until(&format!("{count} bytes"), |bytes, _| {
            bytes.get(..count).map(<[u8]>::to_vec)
        })
    }

    /// Everything, once the other end is closed.
    #[track_caller]
    pub(crate) fn all(&self) -> Vec<u8> {
        self.until("the end of the output", |bytes, ended| {
            ended.then(|| bytes.to_vec())
        })
    }

    /// What has come by now.
    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }
}

fn whole_lines(bytes: &[u8]) -> Vec<String> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

/// A child process, killed and reaped when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Collected,
    pub(crate) stderr: Collected,
    started: Instant,
}

impl Process {
    /// Starts with an empty standard input.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_reading(command, Stdio::null())
    }

    /// Starts with a pipe to its standard input, in `stdin`.
    #[track_caller]
    pub(crate) fn spawn_piped(command: &mut Command) -> Self {
        Self::spawn_reading(command, Stdio::piped())
    }

    /// Starts with this standard input.
    #[track_caller]
    pub(crate) fn spawn_reading(command: &mut Command, stdin: Stdio) -> Self {
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Collected::from_reader(child.stdout.take().expect("piped"));
        let stderr = Collected::from_reader(child.stderr.take().expect("piped"));
        Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr,
            started,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child, not yet reaped");
    }

    /// Stops it, and returns once it is stopped: what is sent now waits until [`Process::thaw`].
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        eventually("the process is stopped", || {
            (self.stat(0)? == "T").then_some(())
        });
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Processor time used so far, in ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let field = |index| -> u64 {
            let text = self.stat(index).expect("the process is there");
            text.parse().expect("a number")
        };
        field(11) + field(12)
    }

    /// A field of `/proc/PID/stat`, counted from the state, which stands after the name.
    fn stat(&self, field: usize) -> Option<String> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        let (_, rest) = text.rsplit_once(')')?;
        rest.split_whitespace().nth(field).map(str::to_owned)
    }

    /// A line of `/proc/PID/status` in KiB, such as `VmHWM`.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .expect("the process is there");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .expect("a line of this name");
        let number = line.trim().trim_end_matches("kB").trim();
        number.parse().expect("a number of KiB")
    }

    /// Whether it ends within `limit`; waits on a pidfd.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        if self.child.try_wait().expect("our own child").is_some() {
            return true;
        }
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())
            .expect("our own child, not yet reaped");
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("a short time");
            match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(
            self.ends_within(PATIENCE),
            "process {} did not end; its standard error: {}",
            self.id(),
            self.stderr.so_far()
        );
        self.child.wait().expect("our own child")
    }

    /// Waits for the end and for all that it printed.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> Finished {
        drop(self.stdin.take());
        let status = self.wait();
        let took = self.started.elapsed();
        Finished {
            code: status.code(),
            stdout: self.stdout.all(),
            stderr: String::from_utf8_lossy(&self.stderr.all()).into_owned(),
            took,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended, with all that it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Finished {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Exit 0 and a quiet standard error.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.stderr, "", "nothing to complain of");
        self
    }

    /// This exit code, nothing on standard output, and one line of explanation that has every word
    /// (`a|b`: one of them, whatever the case).
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.text(), "", "nothing on standard output");
        self.explains(words)
    }

    /// One line of explanation on standard error that has every word (`a|b`: one of them).
    #[track_caller]
    pub(crate) fn explains(&self, words: &[&str]) -> &Self {
        let stderr = &self.stderr;
        assert_eq!(stderr.matches('\n').count(), 1, "one line: {stderr:?}");
        assert!(stderr.ends_with('\n'), "a whole line: {stderr:?}");
        assert!(stderr.starts_with("sockeye: "), "whose error: {stderr:?}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        let lower = stderr.to_lowercase();
        for word in words {
            assert!(
                word.split('|')
                    .any(|one| lower.contains(&one.to_lowercase())),
                "`{word}` is missing in: {stderr}"
            );
        }
        self
    }
}

/// Runs to the end with an empty standard input.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Finished {
    Process::spawn(command).finish()
}

/// Runs to the end with `input` on standard input. A reader that goes away early is no error here.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: impl Into<Vec<u8>>) -> Finished {
    let mut process = Process::spawn_piped(command);
    let mut stdin = process.stdin.take().expect("piped");
    let input = input.into();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let finished = process.finish();
    let _ = writer.join().expect("the writer does not panic");
    finished
}
