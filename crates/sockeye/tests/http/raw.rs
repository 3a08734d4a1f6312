//! Servers of `http::serve` on a thread of their own, on both kinds of runtime, and clients that write and
//! read the bytes themselves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use rustix::net::SendFlags;
use sockeye::server::{Report, Server};
use sockeye::{Address, Claim, Listener, http};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::support::PATIENCE;

/// A runtime of one thread, on which all handlers are one task, and one of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    Two,
}

pub(crate) const BOTH: [Threads; 2] = [Threads::One, Threads::Two];

impl Threads {
    pub(crate) fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::One => Builder::new_current_thread(),
            Self::Two => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_all().build().unwrap()
    }
}

/// Who accepts the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// `http::serve`
    Serve,
    /// `axum::serve`, from `http::Incoming`.
    Axum,
}

/// Each server on each runtime.
pub(crate) fn everywhere() -> impl Iterator<Item = (By, Threads)> {
    let each = |by| BOTH.map(|threads| (by, threads));
    [By::Serve, By::Axum].into_iter().flat_map(each)
}

/// Tells a server to stop.
pub(crate) struct Stop(oneshot::Receiver<()>);

impl Stop {
    pub(crate) async fn told(self) {
        drop(self.0.await);
    }
}

/// A server that runs until it is told to stop.
pub(crate) struct Serving {
    dir: TempDir,
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<Report>,
}

impl Serving {
    pub(crate) fn start(threads: Threads, server: Server, router: Router) -> Self {
        Self::start_with(threads, async move |listener, stop| {
            http::serve(server, listener, router, stop.told())
                .await
                .unwrap()
        })
    }

    pub(crate) fn start_by(by: By, threads: Threads, server: Server, router: Router) -> Self {
        if by == By::Serve {
            return Self::start(threads, server, router);
        }
        Self::start_with(threads, async move |listener, stop| {
            let incoming = http::Incoming::new(server, listener, stop.told());
            let (ended, report) = (incoming.ended(), incoming.report());
            let router = router.into_make_service_with_connect_info::<http::Caller>();
            let served = axum::serve(incoming, router).with_graceful_shutdown(ended);
            served.await.unwrap();
            report.await.unwrap()
        })
    }

    /// A server of another kind.
    pub(crate) fn start_with(
        threads: Threads,
        serve: impl AsyncFnOnce(Listener, Stop) -> Report + Send + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::from_path(dir.path().join("http.sock")).unwrap();
        let (shutdown, stop) = oneshot::channel();
        let (listens, is_listening) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            threads.runtime().block_on(async {
                let listener = Listener::open(&address, &Claim::options()).unwrap();
                listens.send(()).unwrap();
                serve(listener, Stop(stop)).await
            })
        });
        is_listening.recv().unwrap();
        Self {
            dir,
            shutdown,
            server,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("http.sock")
    }

    pub(crate) fn connect(&self) -> RawClient {
        RawClient(BufReader::new(UnixStream::connect(self.path()).unwrap())).with_patience(PATIENCE)
    }

    /// Begins a drain. It has begun once the socket file is gone.
    pub(crate) fn drain(self) -> Draining {
        let draining = self.tell();
        while draining.path.exists() {
            std::thread::yield_now();
        }
        draining
    }

    /// Tells it to drain, and does not wait until it does.
    pub(crate) fn tell(self) -> Draining {
        let path = self.path();
        self.shutdown.send(()).unwrap();
        Draining {
            path,
            _dir: self.dir,
            server: self.server,
        }
    }

    pub(crate) fn stop(self) -> Report {
        self.drain().report()
    }

    /// The report of one that ends by itself.
    pub(crate) fn ended(self) -> Report {
        self.server.join().unwrap()
    }
}

/// A server that drains.
pub(crate) struct Draining {
    path: PathBuf,
    _dir: TempDir,
    server: JoinHandle<Report>,
}

impl Draining {
    pub(crate) fn report(self) -> Report {
        let report = self.server.join().unwrap();
        assert!(!self.path.exists());
        report
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.server.is_finished()
    }
}

/// A client of HTTP/1 that writes and reads the bytes itself.
pub(crate) struct RawClient(BufReader<UnixStream>);

/// What it has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawResponse {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawResponse {
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}

impl RawClient {
    fn with_patience(self, patience: Duration) -> Self {
        self.0.get_ref().set_read_timeout(Some(patience)).unwrap();
        self
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Waits until the server has shut down its reading side.
    pub(crate) fn wait_until_nothing_can_be_sent(&self) {
        let begun = Instant::now();
        while rustix::net::send(self.0.get_ref(), &[], SendFlags::NOSIGNAL).is_ok() {
            assert!(begun.elapsed() < PATIENCE, "the reading side is still open");
            std::thread::yield_now();
        }
    }

    pub(crate) fn half_close(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> RawResponse {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.response()
    }

    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.0.read_line(&mut head).unwrap() > 0,
                "EOF after {head:?}"
            );
        }
        head
    }

    /// Reads one response with a `Content-Length`.
    pub(crate) fn response(&mut self) -> RawResponse {
        let head = self.head();
        let mut response = RawResponse {
            head,
            body: String::new(),
        };
        let length = response.header("content-length").unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        response.body = String::from_utf8(body).unwrap();
        response
    }

    /// Reads a line, of an event stream say.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// Reads up to `end`.
    pub(crate) fn until(&mut self, end: &str) {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let last = end.as_bytes()[end.len() - 1];
            assert!(self.0.read_until(last, &mut read).unwrap() > 0, "EOF");
        }
    }

    /// Whether something is received within `time`.
    pub(crate) fn is_answered_within(&mut self, time: Duration) -> bool {
        self.0.get_ref().set_read_timeout(Some(time)).unwrap();
        self.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    }

    /// Reads so many bytes; `None` at EOF.
    pub(crate) fn exact(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads to EOF; a reset is one, too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("{error} after {rest:?}"),
        }
    }
}
