//! `sockeye demo`

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use sockeye::Address;
use sockeye::address::quoted;
use sockeye::claim::{Probe, probe};
use sockeye::server::shutdown_signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::exit::{Exit, by_signal, failure};
use crate::stdio;

const SOCKET: &str = "app.sock";
/// The directory of files that are served over HTTP.
const FILES: &str = "files";

pub(crate) fn run() -> anyhow::Result<Exit> {
    let directory = tempfile::Builder::new()
        .prefix("sockeye-demo-")
        .tempdir()
        .map_err(|error| {
            failure(
                Exit::Failed,
                format!(
                    "cannot make a directory for the demo in {}: {error}; set TMPDIR to one that you may write",
                    quoted(&std::env::temp_dir())
                ),
            )
        })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let mut shutdown = shutdown_signal()?;
        tokio::select! {
            result = story(&directory) => result,
            signal = shutdown.next() => {
                stdio::complain("the demo was stopped; nothing of it is left");
                Err(by_signal(signal))
            }
        }
    });
    directory.close()?;
    result.map(|()| Exit::Done)
}

/// The steps of the demo. Dropped in the middle, it kills the servers that it has started.
async fn story(directory: &TempDir) -> anyhow::Result<()> {
    let demo = DemoDirectory {
        sockeye: std::env::current_exe()?,
        directory: directory.path().to_owned(),
    };
    say("UNIX sockets in seven steps, in a private directory:")?;
    say(&format!("  {}", quoted(&demo.directory)))?;

    say("\n1. A server claims a path. Only its owner may connect: mode 0600.")?;
    let mut server = demo.start_server(&[]).await?;
    let file = std::fs::metadata(demo.socket())?;
    let mode = file.permissions().mode() & 0o777;
    say(&format!(
        "   The file {SOCKET} is a socket with mode {mode:04o}."
    ))?;

    say("\n2. Who listens there?")?;
    match probe(&Address::from_path(demo.socket())?) {
        Probe::Live { pid: Some(pid) } => say(&format!(
            "   Process {}, the server that has just been started.",
            pid.as_raw_pid()
        ))?,
        other => anyhow::bail!("the server was not found: {other:?}"),
    }

    say("\n3. A client sends a message and prints the answer.")?;
    demo.send("Hello UNIX socket!", 0).await?;
    if let Some(line) = server.stdout.next_line().await? {
        say(&format!("   The server says: {line}"))?;
    }

    say("\n4. A second server cannot have the same path, and harms nothing.")?;
    demo.run(&["serve", SOCKET], 4).await?;

    say("\n5. The server is killed, and its file stays behind: a stale socket.")?;
    server.signal(Signal::KILL)?;
    server.child.wait().await?;
    demo.send("Is anybody there?", 3).await?;
    say("   The next server proves that nobody uses the file, and replaces it.")?;
    let server = demo.start_server(&[]).await?;
    demo.send("Hello again!", 0).await?;

    say("\n6. On SIGTERM a server finishes what it has begun and cleans up.")?;
    server.stop().await?;
    let left = std::fs::read_dir(&demo.directory)?.count();
    say(&format!("   Files left in the directory: {left}."))?;
    anyhow::ensure!(left == 0, "the server has left files behind");

    say("\n7. Many daemons speak HTTP on their sockets. This one serves a directory.")?;
    demo.http().await?;
    say("\nNow try it yourself: sockeye serve /tmp/app.sock")
}

/// The private directory that the demo runs in.
struct DemoDirectory {
    sockeye: PathBuf,
    directory: PathBuf,
}

struct DemoServer {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl DemoDirectory {
    fn socket(&self) -> PathBuf {
        self.directory.join(Path::new(SOCKET))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.sockeye);
        command
            .args(args)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn start_server(&self, options: &[&str]) -> anyhow::Result<DemoServer> {
        let args = [&["serve"], options, &[SOCKET]].concat();
        say(&format!("   $ sockeye {}", args.join(" ")))?;
        let mut child = self
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut server = DemoServer {
            child,
            stdout: BufReader::new(stdout.context("no standard output")?).lines(),
            stderr: BufReader::new(stderr.context("no standard error")?).lines(),
        };
        let line = server.stderr.next_line().await?.unwrap_or_default();
        say(&format!("   {line}"))?;
        anyhow::ensure!(line.starts_with("listening"), "the server did not start");
        Ok(server)
    }

    /// A server of files, and a request of curl, or of our own client where there is none.
    async fn http(&self) -> anyhow::Result<()> {
        let files = self.directory.join(FILES);
        std::fs::create_dir(&files)?;
        std::fs::write(files.join("hello.txt"), "Hello, HTTP!\n")?;
        let mut server = self.start_server(&["--http", FILES]).await?;
        if has_curl().await {
            let args = ["--unix-socket", SOCKET, "http://localhost/hello.txt"];
            say(&format!("   $ curl {}", args.join(" ")))?;
            let mut curl = Command::new("curl");
            // Nothing but this: no ~/.curlrc, no progress, no proxy.
            curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*"])
                .args(args)
                .current_dir(&self.directory)
                .stdin(Stdio::null())
                .kill_on_drop(true);
            show(curl, 0).await?;
        } else {
            self.run(&["send", "--http", "GET /hello.txt", SOCKET], 0)
                .await?;
        }
        if let Some(line) = server.stdout.next_line().await? {
            say(&format!("   The server says: {line}"))?;
        }
        server.stop().await
    }

    async fn send(&self, message: &str, status: i32) -> anyhow::Result<()> {
        self.run(&["send", SOCKET, message], status).await
    }

    /// Runs a command to its end and prints its output.
    async fn run(&self, args: &[&str], status: i32) -> anyhow::Result<()> {
        let mut shown = vec!["sockeye".to_owned()];
        shown.extend(args.iter().map(|arg| {
            if arg.contains(' ') {
                format!("'{arg}'")
            } else {
                (*arg).to_owned()
            }
        }));
        say(&format!("   $ {}", shown.join(" ")))?;
        show(self.command(args), status).await
    }
}

async fn has_curl() -> bool {
    let version = Command::new("curl").arg("--version").output().await;
    version.is_ok_and(|output| output.status.success())
}

/// Runs a command to its end and prints what it has printed.
async fn show(mut command: Command, status: i32) -> anyhow::Result<()> {
    let output = command.output().await?;
    for line in [output.stdout, output.stderr]
        .concat()
        .split(|&b| b == b'\n')
    {
        if !line.is_empty() {
            say(&format!("   {}", String::from_utf8_lossy(line)))?;
        }
    }
    expect(output.status, status)
}

impl DemoServer {
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(kill_process(pid.context("the server has gone")?, signal)?)
    }

    /// Ends it with SIGTERM, and prints its report.
    async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let mut report = String::new();
        while let Some(line) = self.stderr.next_line().await? {
            report = line;
        }
        let status = self.child.wait().await?;
        say(&format!("   {report}"))?;
        expect(status, 0)
    }
}

fn expect(status: ExitStatus, wanted: i32) -> anyhow::Result<()> {
    anyhow::ensure!(
        status.code() == Some(wanted),
        "it ended with {status}, not with exit status {wanted}"
    );
    say(&format!("   (exit status {wanted})"))
}

/// Prints text, broken so that it fits into 80 columns.
fn say(text: &str) -> anyhow::Result<()> {
    stdio::print(format!("{}\n", wrap(text)).as_bytes())
}

fn wrap(text: &str) -> String {
    const WIDTH: usize = 79;
    let indent = text.len() - text.trim_start_matches(' ').len();
    let mut wrapped = String::new();
    let mut column = 0;
    for word in text.split_inclusive(' ') {
        if column + word.trim_end().chars().count() > WIDTH && column > indent {
            wrapped.truncate(wrapped.trim_end_matches(' ').len());
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            column = indent;
        }
        wrapped.push_str(word);
        column += word.chars().count();
    }
    wrapped
}
