//! A daemon with limits, timeouts and a graceful shutdown. A request is a number of milliseconds, and its
//! answer comes after that time.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example graceful_shutdown -- /tmp/slow.sock
//! $ echo 3000 | nc -NU /tmp/slow.sock
//! ```
//!
//! SIGTERM or Ctrl-C: new clients are refused, the path is free for a successor, requests that have begun
//! are answered, then it ends. A second signal, or the drain timeout, aborts what is left.
#![expect(clippy::print_stderr, reason = "it is a program")]

mod common;

use std::time::Duration;

use common::BoxError;
use sockeye::{
    CancellationToken, Claim, Connection, Framing, Listener, Messages, Server, shutdown_signal,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: graceful_shutdown ADDRESS [--drain D]")?;
    args.end()?;
    let mut signals = shutdown_signal()?;
    // The group may connect, too; without a mode only our own user.
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);

    let abort = CancellationToken::new();
    let server = Server::new()
        // More wait in the backlog.
        .max_connections(1000)
        // More are closed at once, so that no user keeps the others out.
        .max_per_uid(100)
        .idle_timeout(Duration::from_secs(60))
        // For a client that sends a byte now and then.
        .message_timeout(Duration::from_secs(10))
        // Less than the 90 seconds that systemd waits (TimeoutStopSec=).
        .drain_timeout(args.drain)
        .abort_on(abort.clone());
    let shutdown = async move {
        signals.next().await;
        eprintln!("draining; a second signal aborts");
        tokio::spawn(async move {
            signals.next().await;
            eprintln!("aborting");
            abort.cancel();
        });
    };
    let report = server.run(listener, answer_later, shutdown).await?;
    common::finish(&report)
}

async fn answer_later(connection: Connection) -> Result<(), BoxError> {
    let mut requests = Messages::new(connection, Framing::Line, 100);
    // In a drain this is `None` once the requests that were sent until then are answered.
    while let Some(request) = requests.next().await? {
        let time = std::str::from_utf8(&request.payload)?.parse()?;
        tokio::time::sleep(Duration::from_millis(time)).await;
        requests.send(&request.payload).await?;
    }
    Ok(())
}
