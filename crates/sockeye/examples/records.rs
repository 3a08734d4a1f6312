//! Seqpacket records: each send(2) of the client is one record here, and each answer one there. No
//! framing, no half of a message, and an empty record is a message, too.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example records -- seqpacket:/tmp/records.sock
//! $ python3 -c 'import socket
//! s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect("/tmp/records.sock")
//! for record in b"one", b"", b"three": s.send(record); print(s.recv(100))'
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

use sockeye::{
    Address, Claim, Connection, Records, RecvError, SeqPacket, SeqPacketListener, Server,
    shutdown_signal,
};

/// The longest record that is received.
const LIMIT: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: records seqpacket:PATH";
    let address: Address = std::env::args().nth(1).ok_or(usage)?.parse()?;
    let shutdown = shutdown_signal()?;
    let listener = SeqPacketListener::open(&address, &Claim::options())?;
    println!("listening on {address}");
    Server::new().run(listener, count_bytes, shutdown).await?;
    Ok(())
}

async fn count_bytes(connection: Connection<SeqPacket>) -> Result<(), RecordsError> {
    let mut records = Records::new(connection, LIMIT);
    let mut number = 0;
    loop {
        let answer = match records.next().await {
            Ok(Some(record)) => format!("record {number}: {} bytes", record.payload.len()),
            Ok(None) => return Ok(()),
            // Only this record is lost, and its sender does not know that unless we say so.
            Err(error @ RecvError::TooLong { .. }) => format!("record {number}: {error}"),
            Err(error) => return Err(error.into()),
        };
        records.send(answer.as_bytes(), &[]).await?;
        number += 1;
    }
}

type RecordsError = Box<dyn Error + Send + Sync>;
