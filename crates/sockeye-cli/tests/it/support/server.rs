//! A running `sockeye serve`, and plain servers that live in the test itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sockeye::activation::VARIABLES;

use super::{Client, PATIENCE, Process, Report, eventually};

/// `sockeye serve`, up and listening.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) path: PathBuf,
    /// The line that said so.
    pub(crate) greeting: String,
}

impl Server {
    /// Starts `sockeye serve OPTIONS PATH` and waits until it says that it listens.
    #[track_caller]
    pub(crate) fn start(path: impl AsRef<Path>, options: &[&str]) -> Self {
        let path = path.as_ref();
        Self::started_by(Self::command(options).arg(path), path)
    }

    /// `sockeye serve OPTIONS`, the address still missing.
    pub(crate) fn command(options: &[&str]) -> Command {
        let mut command = sockeye();
        command.arg("serve").args(options);
        command
    }

    /// `sockeye serve OPTIONS PATH` out of a shell that did `prelude` first (`ulimit`, `umask`).
    #[track_caller]
    pub(crate) fn start_after(prelude: &str, path: impl AsRef<Path>, options: &[&str]) -> Self {
        let path = path.as_ref();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{prelude}; exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_sockeye"))
            .arg("serve")
            .args(options)
            .arg(path);
        Self::started_by(&mut command, path)
    }

    #[track_caller]
    pub(crate) fn started_by(command: &mut Command, path: impl AsRef<Path>) -> Self {
        Self::of(Process::spawn(command), path)
    }

    /// A process that is about to listen.
    #[track_caller]
    pub(crate) fn of(process: Process, path: impl AsRef<Path>) -> Self {
        let greeting = process
            .stderr
            .line("`listening on`", |line| line.contains("listening on "));
        Self {
            process,
            path: path.as_ref().to_owned(),
            greeting,
        }
    }

    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.path)
    }

    /// Sends one message on a connection of its own and returns the whole answer.
    #[track_caller]
    pub(crate) fn ask(&self, message: impl AsRef<[u8]>) -> String {
        let mut client = self.client();
        client.send(message);
        client.finish();
        String::from_utf8_lossy(&client.rest()).into_owned()
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        lock_path(&self.path)
    }

    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// SIGTERM, and returns once new clients are refused.
    #[track_caller]
    pub(crate) fn begin_drain(&self) {
        self.terminate();
        self.await_refusal();
    }

    /// Until new clients are refused.
    #[track_caller]
    pub(crate) fn await_refusal(&self) {
        eventually("new clients are refused", || {
            UnixStream::connect(&self.path).is_err().then_some(())
        });
    }

    /// Until the path and its lock are free for a successor.
    #[track_caller]
    pub(crate) fn await_release(&self) {
        eventually("the path and its lock are gone", || {
            let gone = |path: &Path| fs::symlink_metadata(path).is_err();
            (gone(&self.path) && gone(&self.lock_path())).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn stop(&mut self) -> Ending {
        self.terminate();
        self.ending()
    }

    /// Waits for the end; the time is counted from this call.
    #[track_caller]
    pub(crate) fn ending(&mut self) -> Ending {
        let from = Instant::now();
        let status = self.process.wait();
        let took = from.elapsed();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ending {
            code: status.code(),
            stdout: text(self.process.stdout.all()),
            stderr: text(self.process.stderr.all()),
            left: [self.path.clone(), self.lock_path()]
                .into_iter()
                .filter(|path| fs::symlink_metadata(path).is_ok())
                .collect(),
            took,
        }
    }
}

/// How a server ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    /// Which of the path and its lock were still there.
    pub(crate) left: Vec<PathBuf>,
}

impl Ending {
    /// The report, which is the last line on standard error.
    #[track_caller]
    pub(crate) fn report(&self) -> Report {
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        Report::parse(self.stderr.lines().last().expect("a last line"))
    }

    /// Exit 0, nothing aborted, nothing left.
    #[track_caller]
    pub(crate) fn is_clean(&self) -> Report {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.left, Vec::<PathBuf>::new(), "no file of ours is left");
        let report = self.report();
        assert_eq!(report.aborted, 0, "{self:#?}");
        report
    }

    /// Exit 7, since so many answers to datagrams could not be delivered, and nothing aborted.
    #[track_caller]
    pub(crate) fn has_dropped(&self, answers: u64) -> Report {
        assert_eq!(self.code, Some(7), "{self:#?}");
        assert_eq!(self.left, Vec::<PathBuf>::new(), "no file of ours is left");
        let told = format!("dropped answers {answers}\n");
        assert!(self.stderr.ends_with(&told), "{self:#?}");
        let report = self.report();
        assert_eq!(report.aborted, 0, "{self:#?}");
        report
    }

    /// Exit 7, something aborted, nothing left.
    #[track_caller]
    pub(crate) fn was_cut(&self) -> Report {
        assert_eq!(self.code, Some(7), "{self:#?}");
        assert_eq!(self.left, Vec::<PathBuf>::new(), "no file of ours is left");
        let report = self.report();
        assert!(report.aborted >= 1, "{self:#?}");
        report
    }
}

/// The command under test, free of what the caller's environment may change.
pub(crate) fn sockeye() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    for name in ["RUST_LOG", "NO_COLOR"].iter().chain(&VARIABLES) {
        command.env_remove(name);
    }
    command
}

pub(crate) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OsStr::new(".lock"));
    name.into()
}

/// A server of the plainest kind: takes one connection and hands it to `handle`.
#[track_caller]
pub(crate) fn serve_once<T: Send + 'static>(
    path: &Path,
    handle: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    let listener = UnixListener::bind(path).expect("a fresh path");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client comes");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time above zero");
        handle(stream)
    })
}
