//! A chat with Sockeye's library on a multi-thread runtime: each line goes to all clients. `tokio_chat` has the same
//! design.

use anyhow::Context;
use bytes::Bytes;
use sockeye::{Address, Claim, Connection, Framing, Listener, Messages, Server};
use std::path::PathBuf;
use tokio::io::AsyncWriteExt;
use tokio::sync::broadcast;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1);
    let path = PathBuf::from(path.context("usage: library_chat PATH")?);
    let address = Address::from_path(&path).context("not an address")?;
    let listener = Listener::open(&address, &Claim::options())?;
    let (room, _) = broadcast::channel(1024);
    let handler = move |connection| chat(connection, room.clone());
    Server::new()
        .run(listener, handler, std::future::pending())
        .await?;
    Ok(())
}

async fn chat(connection: Connection, room: broadcast::Sender<Bytes>) -> anyhow::Result<()> {
    let mut news = room.subscribe();
    let (reader, mut writer) = connection.into_split();
    let sender = tokio::spawn(async move {
        // It ends with the server, and for a client that is more than a channel of lines behind.
        while let Ok(line) = news.recv().await {
            if writer.write_all(&line).await.is_err() {
                return;
            }
        }
    });
    let mut messages = Messages::new(reader, Framing::Line, 4096);
    while let Some(line) = messages.next().await? {
        let _ = room.send(Framing::Line.encode(&line.payload)?);
    }
    sender.abort();
    Ok(())
}
