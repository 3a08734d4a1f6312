//! The smallest daemon: answers each line with itself.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example lines -- /tmp/lines.sock
//! $ printf 'one\ntwo\n' | nc -NU /tmp/lines.sock
//! ```
//!
//! `ask.rs` is its client, `graceful_shutdown.rs` the same with limits and timeouts.

use std::error::Error;

use sockeye::{
    Claim, Connection, Framing, FramingError, Listener, Messages, Server, shutdown_signal,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: lines ADDRESS")?;
    // Before the listener, so that no signal leaves the socket file behind.
    let shutdown = shutdown_signal()?;
    let listener = Listener::open(&address.parse()?, &Claim::options())?;
    Server::new().run(listener, echo_lines, shutdown).await?;
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
