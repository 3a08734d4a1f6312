//! An echo server written with Sockeye's library on a multi-thread runtime, as its users write one.

use anyhow::{Context, bail};
use sockeye::{Address, Claim, Connection, Framing, Listener, Messages, Server};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [handler, path] = arguments.as_slice() else {
        bail!("usage: library_echo bytes|lines|built-in PATH");
    };
    let address = Address::from_path(Path::new(path)).context("not an address")?;
    let listener = Listener::open(&address, &Claim::options())?;
    let forever = std::future::pending();
    match handler.to_str() {
        Some("bytes") => Server::new().run(listener, echo_bytes, forever).await?,
        Some("lines") => Server::new().run(listener, echo_lines, forever).await?,
        Some("built-in") => Server::new().run(listener, echo_built_in, forever).await?,
        _ => bail!("no such handler: {}", handler.display()),
    };
    Ok(())
}

/// With the buffer of `tokio_echo`.
async fn echo_bytes(mut connection: Connection) -> std::io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            n => connection.write_all(&buffer[..n]).await?,
        }
    }
}

async fn echo_lines(connection: Connection) -> anyhow::Result<()> {
    let mut messages = Messages::new(connection, Framing::Line, 4096);
    while let Some(line) = messages.next().await? {
        messages.send(&line.payload).await?;
    }
    Ok(())
}

async fn echo_built_in(mut connection: Connection) -> std::io::Result<()> {
    sockeye::server::echo(&mut connection).await
}
