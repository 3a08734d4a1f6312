//! A chat on plain tokio, multi-thread: each line goes to all clients. Nothing of Sockeye is used.

use anyhow::Context;
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1);
    let path = path.context("usage: tokio_chat PATH")?;
    let listener = UnixListener::bind(path).context("cannot listen")?;
    let (room, _) = broadcast::channel(1024);
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        tokio::spawn(chat(stream, room.clone()));
    }
}

async fn chat(stream: UnixStream, room: broadcast::Sender<Bytes>) -> anyhow::Result<()> {
    let mut news = room.subscribe();
    let (reader, mut writer) = stream.into_split();
    let sender = tokio::spawn(async move {
        // It ends with the server, and for a client that is more than a channel of lines behind.
        while let Ok(line) = news.recv().await {
            if writer.write_all(&line).await.is_err() {
                return;
            }
        }
    });
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        let _ = room.send(std::mem::take(&mut line).into());
    }
    sender.abort();
    Ok(())
}
