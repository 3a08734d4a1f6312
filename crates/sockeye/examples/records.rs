//! Seqpacket records: each send(2) of the client is one record here, and each answer one there. No
//! framing, no half of a message, and an empty record is a message, too.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example records -- seqpacket:/tmp/records.sock
//! $ python3 -c 'import socket
//! s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect("/tmp/records.sock")
//! for record in b"one", b"", b"three": s.send(record); print(s.recv(100))'
//! ```

mod common;

use common::BoxError;
use sockeye::{Claim, Connection, Records, RecvError, SeqPacket, SeqPacketListener, Server};

/// The longest record that is received.
const LIMIT: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: records seqpacket:PATH [--drain D]")?;
    args.end()?;
    let (shutdown, abort) = common::signals()?;
    let listener = SeqPacketListener::open(&args.address, &Claim::options())?;
    common::listening(&args.address);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    common::finish(&server.run(listener, count_bytes, shutdown).await?)
}

async fn count_bytes(connection: Connection<SeqPacket>) -> Result<(), BoxError> {
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
