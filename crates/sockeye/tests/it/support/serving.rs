//! A server in the test's own runtime, clients beside it, and a clock that the test advances.
//!
//! Most of it runs on one thread, and a UNIX socket is ready in the moment that the other end has
//! written; so when every task waits, nothing more will happen.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use sockeye::framing::Framing;
use sockeye::listener::{ConnectedSocket, SocketListener};
use sockeye::server::{Connection, HandlerOutput, Messages, Report, Server, ServerError};
use sockeye::{Address, Claim, Connector, Listener, Stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// The time for draining of those servers that have one of their own.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// tokio's clock, paused until the test advances it.
///
/// Paused alone it would jump to the next timer whenever it finds all tasks waiting, bytes that
/// have just come in or not; it does not while a blocking task runs.
pub(crate) struct Clock(#[expect(dead_code, reason = "its drop ends the task")] mpsc::Sender<()>);

impl Clock {
    pub(crate) fn stop() -> Self {
        tokio::time::pause();
        let (keep, kept) = mpsc::channel();
        tokio::task::spawn_blocking(move || kept.recv());
        Self(keep)
    }

    /// Lets time pass, and all that is due happen.
    pub(crate) async fn pass(&self, time: Duration) {
        settled().await;
        tokio::time::advance(time).await;
        settled().await;
    }
}

/// On a runtime of one thread, where all handlers of a server are one task, and on one of two, where
/// each is a task. [`settled`] is of no use on the second.
pub(crate) fn on_each_runtime(test: impl AsyncFn()) {
    let mut builders = [Builder::new_current_thread(), Builder::new_multi_thread()];
    for builder in &mut builders {
        let runtime = builder.enable_all().worker_threads(2).build().unwrap();
        runtime.block_on(test());
    }
}

/// Lets all tasks run until each of them waits.
pub(crate) async fn settled() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Gives up after [`PATIENCE`] of real time, whatever tokio's clock shows.
pub(crate) async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    let (alarm, ringing) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = alarm.send(());
        }
    });
    tokio::select! {
        biased;
        value = wait => {
            drop(done);
            value
        }
        _ = ringing => panic!("timed out"),
    }
}

pub(crate) fn claimed(address: &Address) -> Listener {
    let options = Claim::options().mode(0o666).allow_fd_passing(true);
    Listener::from_claim(options.claim(address).unwrap()).unwrap()
}

/// A server that runs.
pub(crate) struct Running {
    shutdown: CancellationToken,
    run: JoinHandle<Result<Report, ServerError>>,
}

impl Running {
    pub(crate) fn start<S, H, F>(server: Server, listener: SocketListener<S>, handler: H) -> Self
    where
        S: ConnectedSocket,
        H: Fn(Connection<S>) -> F + Send + 'static,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let told = shutdown.clone().cancelled_owned();
        let run = tokio::spawn(server.run(listener, handler, told));
        Self { shutdown, run }
    }

    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Whether all that it is still to do waits for somebody.
    pub(crate) async fn is_over(&self) -> bool {
        settled().await;
        self.run.is_finished()
    }

    /// What `run` returns; nobody has to stop it for that.
    pub(crate) async fn result(self) -> Result<Report, ServerError> {
        in_time(self.run).await.unwrap()
    }

    /// Stops it, if nobody has, and waits for the end.
    pub(crate) async fn report(self) -> Report {
        self.stop();
        self.result().await.unwrap()
    }

    /// Drops the future of `run`.
    pub(crate) async fn abandon(self) {
        self.run.abort();
        assert!(in_time(self.run).await.unwrap_err().is_cancelled());
    }
}

pub(crate) fn counted(served: u64, refused: u64, drained: u64, aborted: u64) -> Report {
    let mut report = Report::default();
    (report.served, report.refused) = (served, refused);
    (report.drained, report.aborted) = (drained, aborted);
    report
}

/// ResultSender each line with itself.
pub(crate) async fn echo_lines(connection: Connection) {
    let mut messages = Messages::new(connection, Framing::Line, 1 << 20);
    while let Ok(Some(message)) = messages.next().await {
        if messages.send(&message.payload).await.is_err() {
            return;
        }
    }
}

/// A server of lines that has the time of [`DRAIN`].
pub(crate) fn serve(address: &Address) -> Running {
    Running::start(
        Server::new().drain_timeout(DRAIN),
        claimed(address),
        echo_lines,
    )
}

/// Somebody who connects.
#[derive(Debug)]
pub(crate) struct Client(pub(crate) BufReader<Stream>);

impl Client {
    pub(crate) async fn connect(address: &Address) -> Self {
        Self::from(in_time(Connector::new().connect(address)).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    pub(crate) async fn half_close(&mut self) {
        in_time(self.0.shutdown()).await.unwrap();
    }

    /// The next line, without its newline; empty at the end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        in_time(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n")).await;
        self.line().await
    }

    /// All that comes until the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match in_time(self.0.read_to_end(&mut rest)).await {
            Ok(_) => rest,
            // A connection closed with bytes unread says so.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_nothing_came(&self) {
        let mut byte = [0];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        let seen = rustix::net::recv(self.0.get_ref(), &mut byte[..], flags);
        assert_eq!(
            seen.map(|(length, _)| length),
            Err(rustix::io::Errno::AGAIN)
        );
    }
}

impl From<Stream> for Client {
    fn from(stream: Stream) -> Self {
        Self(BufReader::new(stream))
    }
}
