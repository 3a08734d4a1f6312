//! An example that runs, its directory, and foreign clients.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take that ought to happen soon. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fresh directory, removed with all that is in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("sk").tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.dir()
            .join(name)
            .into_os_string()
            .into_string()
            .unwrap()
    }

    pub(crate) fn socket(&self) -> String {
        self.at("app.sock")
    }

    /// No socket file and no lock file was left.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        let names = self.dir().read_dir().unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.is_empty(), "{names:?}");
    }
}

/// The built program of this example, beside which this test was built.
pub(crate) fn program(example: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    // target/PROFILE/deps/examples-HASH
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(example);
    assert!(
        program.exists(),
        "{} is not built: cargo build -p sockeye --examples --features signal",
        program.display()
    );
    program
}

/// A program that runs, and what it prints, line by line. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it writes to standard error.
    log: Receiver<String>,
}

impl Running {
    /// Starts an example.
    pub(crate) fn example<S: AsRef<OsStr>>(
        name: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::start(Command::new(program(name)).args(arguments))
    }

    /// Starts an example that is a server, and waits until clients can connect.
    #[track_caller]
    pub(crate) fn server(name: &str, arguments: &[&str]) -> Self {
        let server = Self::example(name, arguments);
        server.expect_log(&format!("listening on {}", arguments[0]));
        server
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            lines: read_lines(child.stdout.take().unwrap()),
            log: read_lines(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints; `None` once its output has ended.
    #[track_caller]
    pub(crate) fn next(&self) -> Option<String> {
        next_of(&self.lines)
    }

    /// Waits for this line on standard error.
    #[track_caller]
    pub(crate) fn expect_log(&self, line: &str) {
        assert_eq!(next_of(&self.log).as_deref(), Some(line));
    }

    /// Waits for this line.
    #[track_caller]
    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.next().as_deref(), Some(line));
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Closes its input, and returns the rest of what it prints, once it has ended with success.
    #[track_caller]
    pub(crate) fn rest(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let rest = rest_of(&self.lines);
        let (status, log) = (self.child.wait().unwrap(), rest_of(&self.log));
        assert!(status.success(), "{status}: {rest:?} {log:?}");
        rest
    }

    /// What a server has still written to standard error when it has ended, the report last, and its exit
    /// code.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (Vec<String>, Option<i32>) {
        let log = rest_of(&self.log);
        (log, self.child.wait().unwrap().code())
    }

    /// SIGTERM to a server, and its report; it ends with exit code 0.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (mut log, code) = self.ended();
        assert_eq!(code, Some(0), "{log:?}");
        let report = log.pop().unwrap_or_default();
        assert!(report.starts_with("served "), "{report}");
        report
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn next_of(lines: &Receiver<String>) -> Option<String> {
    match lines.recv_timeout(PATIENCE) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("it has printed nothing for {PATIENCE:?}"),
    }
}

#[track_caller]
fn rest_of(lines: &Receiver<String>) -> Vec<String> {
    std::iter::from_fn(|| next_of(lines)).collect()
}

fn read_lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            // It fails where the test has ended.
            let _ = sender.send(line.unwrap());
        }
    });
    lines
}

/// `None`, and says so, where a tool is not installed; fails if the peers are required.
#[track_caller]
pub(crate) fn peer(tool: &str) -> Option<Command> {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|dir| dir.join(tool).exists()) {
        return Some(Command::new(tool));
    }
    let is_required = env::var_os("SOCKEYE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(
        !is_required,
        "{tool} is not installed, and SOCKEYE_REQUIRE_PEERS is set"
    );
    skipped(&format!("{tool} is not installed"));
    None
}

/// Says why a test does nothing. Goes past the capture of the test harness, so that it is seen.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// What a python3 script prints, line by line; `None` where there is no python3.
#[track_caller]
pub(crate) fn python(script: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let mut python = peer("python3")?;
    Some(Running::start(python.args(["-c", script]).args(arguments)).rest())
}

/// What `nc -N` prints that sends `bytes` and half-closes.
#[track_caller]
pub(crate) fn netcat(socket: &str, bytes: &[u8]) -> Option<Vec<String>> {
    let mut running = Running::start(peer("nc")?.args(["-NU", socket]));
    running.write(bytes);
    Some(running.rest())
}
