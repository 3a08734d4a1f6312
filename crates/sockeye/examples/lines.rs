//! The smallest daemon: answers each line with itself.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example lines -- /tmp/lines.sock
//! $ printf 'one\ntwo\n' | nc -NU /tmp/lines.sock
//! ```
//!
//! `ask.rs` is its client, `graceful_shutdown.rs` the same with limits and timeouts.

mod common;

use sockeye::{Claim, Connection, Framing, FramingError, Listener, Messages, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: lines ADDRESS [--drain D]")?;
    args.end()?;
    // Before the listener, so that no signal leaves the socket file behind.
    let (shutdown, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options())?;
    common::listening(&args.address);
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    common::finish(&server.run(listener, echo_lines, shutdown).await?)
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
