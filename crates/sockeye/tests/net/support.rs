//! A server that runs in the test's runtime, and clients of the standard library.

use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use sockeye::net_stream::NetAddr;
use sockeye::server::HandlerOutput;
use sockeye::{CancellationToken, Connection, NetListener, NetStream, Report, Server, ServerError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.expect("it takes too long")
}

/// What blocks, beside the runtime.
pub(crate) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    in_time(tokio::task::spawn_blocking(work)).await.unwrap()
}

pub(crate) fn listener() -> (NetListener, SocketAddr) {
    let listener = NetListener::bind("127.0.0.1:0".parse().unwrap(), 128).unwrap();
    let address = tcp_address(listener.net_addr().unwrap());
    (listener, address)
}

pub(crate) fn tcp_address(address: NetAddr) -> SocketAddr {
    match address {
        NetAddr::Tcp(address) => address,
        NetAddr::Vsock { .. } => panic!("{address} is not TCP"),
    }
}

/// A stream on each side of a TCP connection: ours, and a foreign one.
pub(crate) fn pair() -> (NetStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    accepted.set_write_timeout(Some(PATIENCE)).unwrap();
    (NetStream::from_std(client).unwrap(), accepted)
}

/// Reads to EOF, and answers with all of it.
pub(crate) async fn answer(mut connection: Connection<NetStream>) -> std::io::Result<()> {
    let mut all = Vec::new();
    connection.read_to_end(&mut all).await?;
    connection.write_all(&all).await?;
    connection.shutdown().await
}

pub(crate) struct Running {
    shutdown: CancellationToken,
    run: JoinHandle<Result<Report, ServerError>>,
}

impl Running {
    pub(crate) fn start<H, F>(server: Server, listener: NetListener, handler: H) -> Self
    where
        H: Fn(Connection<NetStream>) -> F + Send + 'static,
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

    pub(crate) async fn result(self) -> Report {
        in_time(self.run).await.unwrap().unwrap()
    }

    pub(crate) async fn report(self) -> Report {
        self.stop();
        self.result().await
    }
}

/// `served`, `refused`, `drained` and `aborted`.
pub(crate) fn counts(report: &Report) -> [u64; 4] {
    [
        report.served,
        report.refused,
        report.drained,
        report.aborted,
    ]
}

/// What a program writes, or `None` where it is not installed.
pub(crate) async fn output_of(mut command: Command, input: Vec<u8>) -> Option<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(child) = tokio::process::Command::from(command).spawn() else {
        assert!(
            std::env::var_os("SOCKEYE_REQUIRE_PEERS").is_none(),
            "a peer is not installed"
        );
        println!("skipped: the client is not installed");
        return None;
    };
    let mut child = child;
    let mut stdin = child.stdin.take().unwrap();
    let write = async move {
        stdin.write_all(&input).await.unwrap();
        drop(stdin);
    };
    let (_, output) = in_time(async { tokio::join!(write, child.wait_with_output()) }).await;
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(output.stdout)
}
