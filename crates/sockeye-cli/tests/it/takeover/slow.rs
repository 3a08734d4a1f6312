//! Daemons of the library's users: one that has the listener of another one, and does not serve.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use sockeye::server::{Connection, Server};
use sockeye::{Address, Claim, Listener, Takeover};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::clients::Clients;
use crate::support::{Place, Process, REPLY, eventually};

const ADDRESS: &str = "SOCKEYE_TEST_DAEMON";
/// How many milliseconds a daemon waits for its successor.
const PATIENCE: &str = "SOCKEYE_TEST_PATIENCE";
/// Half of it is for those who are accepted last.
const DRAIN: Duration = Duration::from_secs(4);

/// The daemon: this very program, started again. It holds the listener until it reads a line.
#[test]
#[ignore = "the tests below start it"]
fn daemon() {
    let Some(address) = env::var_os(ADDRESS) else {
        return;
    };
    let address = Address::from_path(address).expect("a path");
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("a handler");
        let patience = env::var(PATIENCE).expect("it is set").parse();
        let patience = Duration::from_millis(patience.expect("a number"));
        let takeover = Takeover::new(Claim::options()).patience(patience);
        let listener: Listener = takeover.listen(&address).await.expect("the path");
        eprintln!("has the listener");
        // The thread of the runtime blocks, as in a daemon that loads its data.
        if io::stdin().read_line(&mut String::new()).expect("a pipe") == 0 {
            return;
        }
        let listener = listener.begin().await.expect("the path");
        eprintln!("serves");
        let shutdown = async move { terminate.recv().await.unwrap_or(()) };
        let server = Server::new().drain_timeout(DRAIN);
        let report = server.run(listener, reply, shutdown).await;
        eprintln!("report: {}", report.expect("a server"));
    });
}

async fn reply(mut connection: Connection) -> io::Result<()> {
    let mut request = String::new();
    connection.read_to_string(&mut request).await?;
    connection.write_all(REPLY.as_bytes()).await?;
    connection.write_all(b"\n").await
}

struct Daemon(Process);

impl Daemon {
    /// Returns when it has the listener.
    #[track_caller]
    fn start(path: &Path, patience: &str) -> Self {
        let mut command = Command::new(env::current_exe().expect("our own"));
        command.args([
            "--exact",
            "takeover::slow::daemon",
            "--ignored",
            "--nocapture",
        ]);
        command.env(ADDRESS, path).env(PATIENCE, patience);
        let process = Process::spawn_piped(&mut command);
        process.stderr.line("it", |line| line == "has the listener");
        Self(process)
    }

    #[track_caller]
    fn serve(&mut self) {
        let stdin = self.0.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("it reads");
        self.0.stderr.line("it", |line| line == "serves");
    }

    /// How many connections it has answered, once it has ended in order.
    #[track_caller]
    fn end(mut self) -> u64 {
        assert_eq!(self.0.wait().code(), Some(0));
        let report = self
            .0
            .stderr
            .line("it", |line| line.starts_with("report: "));
        let counts: Vec<u64> = report
            .split(|character: char| !character.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let [served, refused, drained, aborted, accept_errors, ..] = counts[..] else {
            panic!("{report}");
        };
        assert_eq!((refused, aborted, accept_errors), (0, 0, 0), "{report}");
        served + drained
    }
}

/// Waits until each of them has asked some times more.
fn go_on(clients: &Clients) {
    let before = clients.answered();
    eventually("requests are answered", || {
        (clients.answered() > before + 100).then_some(())
    });
}

/// What becomes of a daemon that has the listener and does not serve.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Ends,
    IsKilled,
    IsStopped,
    ServesAtLast,
}

#[test]
fn a_daemon_that_does_not_serve_yet_costs_no_client_anything_whatever_becomes_of_it() {
    for fate in [
        Fate::Ends,
        Fate::IsKilled,
        Fate::IsStopped,
        Fate::ServesAtLast,
    ] {
        let place = Place::new();
        let mut first = Daemon::start(&place.socket(), "200");
        first.serve();
        let clients = Clients::start(8, &place.socket());
        go_on(&clients);
        let mut slow = Daemon::start(&place.socket(), "200");
        go_on(&clients);
        match fate {
            Fate::Ends => slow.0.stdin = None,
            Fate::IsKilled => slow.0.signal(Signal::KILL),
            Fate::IsStopped => slow.0.freeze(),
            Fate::ServesAtLast => {}
        }
        if matches!(fate, Fate::Ends | Fate::IsKilled) {
            slow.0.wait();
        }
        go_on(&clients);
        // Its turn has come: that of one that hangs is over.
        let mut next = Daemon::start(&place.socket(), "200");
        next.serve();
        let mut answered = first.end();
        go_on(&clients);
        let last = if matches!(fate, Fate::IsStopped | Fate::ServesAtLast) {
            slow.0.thaw();
            slow.serve();
            answered += next.end();
            go_on(&clients);
            slow
        } else {
            next
        };
        let asked = clients.finish();
        last.0.signal(Signal::TERM);
        answered += last.end();
        // Those who accept from one socket at the same time count each connection once.
        assert_eq!(answered, asked, "{fate:?}");
        assert!(place.names().is_empty(), "{:?}", place.names());
    }
}

#[test]
fn a_daemon_that_is_stopped_while_its_successor_loads_leaves_its_clients_to_that_one() {
    let place = Place::new();
    let mut first = Daemon::start(&place.socket(), "60000");
    first.serve();
    let clients = Clients::start(8, &place.socket());
    let mut slow = Daemon::start(&place.socket(), "60000");
    first.0.signal(Signal::TERM);
    go_on(&clients);
    // It ends though nobody has taken over.
    let mut answered = first.end();
    slow.serve();
    go_on(&clients);
    let asked = clients.finish();
    slow.0.signal(Signal::TERM);
    answered += slow.end();
    assert_eq!(answered, asked);
    assert!(place.names().is_empty(), "{:?}", place.names());
}
