//! A plain tokio echo server on a UNIX socket, the way most people write it: a task and a buffer for each connection.
//! Nothing in here is tuned, and nothing of Sockeye is used.

use anyhow::{Context, bail};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [flavour, path] if flavour == "multi-thread" => multi_thread(path.as_ref()),
        [flavour, path] if flavour == "current-thread" => current_thread(path.as_ref()),
        _ => bail!("usage: tokio_echo multi-thread|current-thread PATH"),
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn multi_thread(path: &Path) -> anyhow::Result<()> {
    serve(path).await
}

#[tokio::main(flavor = "current_thread")]
async fn current_thread(path: &Path) -> anyhow::Result<()> {
    serve(path).await
}

async fn serve(path: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(path).context("cannot listen")?;
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: UnixStream) {
    let mut buffer = vec![0; 4096];
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 || stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
