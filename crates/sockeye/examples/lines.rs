//! A daemon that answers each line with itself, with limits and a graceful shutdown.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example lines -- /tmp/lines.sock
//! $ printf 'one\ntwo\n' | nc -NU /tmp/lines.sock
//! ```
//!
//! SIGTERM or Ctrl-C: the path is released, requests that have begun are answered, then it ends.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::time::Duration;

use sockeye::{
    Address, Claim, Connection, Framing, FramingError, Listener, Messages, Server, shutdown_signal,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: lines ADDRESS")?;
    let address: Address = address.parse()?;
    // Before the claim, so that no signal leaves the socket file behind.
    let shutdown = shutdown_signal()?;
    let listener = Listener::open(&address, &Claim::options().mode(0o660))?;
    println!("listening on {address}");
    let report = Server::new()
        .max_connections(1000)
        .max_per_uid(100)
        .idle_timeout(Duration::from_secs(60))
        .drain_timeout(Duration::from_secs(5))
        .run(listener, echo_lines, shutdown)
        .await?;
    // With how many connections ended in an error.
    println!("{report}");
    Ok(())
}

async fn echo_lines(connection: Connection) -> Result<(), FramingError> {
    // A line of more than 64 KiB ends its connection.
    let mut messages = Messages::new(connection, Framing::Line, 64 << 10);
    // `None` at EOF, and between two lines once a shutdown has begun.
    while let Some(line) = messages.next().await? {
        messages.send(&line.payload).await?;
    }
    Ok(())
}
