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
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::time::Duration;

use sockeye::{
    CancellationToken, Claim, Connection, Framing, Listener, Messages, Server, shutdown_signal,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: graceful_shutdown ADDRESS";
    let address = std::env::args().nth(1).ok_or(usage)?.parse()?;
    let mut signals = shutdown_signal()?;
    // The group may connect, too; without a mode only our own user.
    let listener = Listener::open(&address, &Claim::options().mode(0o660))?;
    println!("listening on {address}");

    let abort = CancellationToken::new();
    let server = Server::new()
        // More wait in the backlog.
        .max_connections(1000)
        // More are closed at once, so that no user keeps the others out.
        .max_per_uid(100)
        .idle_timeout(Duration::from_secs(60))
        // For a client that sends a byte now and then.
        .message_timeout(Duration::from_secs(10))
        // Within the 90 seconds that systemd waits (TimeoutStopSec=).
        .drain_timeout(Duration::from_secs(80))
        .abort_on(abort.clone());
    let shutdown = async move {
        println!("{:?}: draining", signals.next().await);
        tokio::spawn(async move {
            println!("{:?}: aborting", signals.next().await);
            abort.cancel();
        });
    };
    let report = server.run(listener, answer_later, shutdown).await?;
    println!("{report}");
    Ok(())
}

async fn answer_later(connection: Connection) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut requests = Messages::new(connection, Framing::Line, 100);
    // In a drain this is `None` once the requests that were sent until then are answered.
    while let Some(request) = requests.next().await? {
        let time = std::str::from_utf8(&request.payload)?.parse()?;
        tokio::time::sleep(Duration::from_millis(time)).await;
        requests.send(&request.payload).await?;
    }
    Ok(())
}
