//! A chat: each line goes to everybody in the room, in the same order for all.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example chat -- /tmp/chat.sock
//! $ nc -U /tmp/chat.sock     # in two terminals
//! ```
//!
//! Memory is bounded: the room keeps the last `QUEUE` lines once for all, and that is the queue of each
//! client. One that is further behind gets no more: waiting for it would let a client that never reads
//! stop the room, and skipping lines would go unnoticed. Back-pressure comes from a client's own lines:
//! the next one is read when the last one has been written to it, so whoever sends faster than it reads
//! waits for itself, and nobody else does.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::BoxError;
use sockeye::{Bytes, Claim, Connection, Framing, Listener, Messages, Server};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, broadcast::Sender};

const CLIENTS: usize = 1024;
/// 16 lines of each client, which has at most one on its way.
const QUEUE: usize = 16 * CLIENTS;

/// The number of the client that has sent it, and a line; an empty one where the client has ended.
type Line = (usize, Bytes);

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let usage = "usage: chat ADDRESS [--drain D] [--idle SECONDS]";
    let mut args = common::Arguments::parse(usage)?;
    let idle = args.value("--idle")?.unwrap_or(3600);
    args.end()?;
    let (shutdown, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);
    let (room, numbers) = (Sender::new(QUEUE), AtomicUsize::new(1));
    let enter = |client| {
        chat(
            client,
            room.clone(),
            numbers.fetch_add(1, Ordering::Relaxed),
        )
    };
    let report = Server::new()
        .max_connections(CLIENTS)
        // Ends a client that reads nothing for this long, or says nothing in a silent room.
        .idle_timeout(Duration::from_secs(idle))
        .drain_timeout(args.drain)
        .abort_on(abort)
        .run(listener, enter, shutdown)
        .await?;
    common::finish(&report)
}

async fn chat(client: Connection, room: Sender<Line>, number: usize) -> Result<(), BoxError> {
    let (mut queue, is_written) = (room.subscribe(), Notify::new());
    let (reader, mut writer) = client.into_split();
    writer
        .write_all(format!("you are {number}\n").as_bytes())
        .await?;
    let read = async {
        let mut lines = Messages::new(reader, Framing::Line, 1000);
        while let Some(line) = lines.next().await? {
            // A copy: the payload is a part of a larger buffer, which would stay as long as the line.
            let text = [format!("{number}: ").as_bytes(), &line.payload, b"\n"].concat();
            drop(line);
            // The lines behind it wait in a buffer of their size.
            lines.shrink();
            room.send((number, text.into()))?;
            is_written.notified().await;
        }
        room.send((number, Bytes::new()))?;
        Ok::<_, BoxError>(())
    };
    let write = async {
        let mut has_ended = false;
        while !has_ended {
            let (mut batch, mut has_own) = (Vec::new(), false);
            // Waits for one line, and takes what has come behind it. Too far behind, `recv` fails.
            while !has_ended && (batch.is_empty() || batch.len() < 16_000 && !queue.is_empty()) {
                let (sender, text) = queue.recv().await?;
                batch.extend_from_slice(&text);
                has_own |= sender == number;
                has_ended = sender == number && text.is_empty();
            }
            writer.write_all(&batch).await?;
            if has_own {
                is_written.notify_one();
            }
        }
        Ok(())
    };
    // In one task: the halves share the connection's permit and timeouts, without a lock.
    tokio::try_join!(read, write).map(drop)
}
