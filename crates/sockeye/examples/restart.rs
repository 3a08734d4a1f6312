//! A daemon that can be restarted without a gap: each new process takes the listening socket over from
//! the one that runs, which answers what it has begun and ends. No connect(2) is refused meanwhile.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example restart -- /tmp/restart.sock &
//! $ cargo run -p sockeye --features signal --example restart -- /tmp/restart.sock &    # the first one ends
//! $ nc -U /tmp/restart.sock < /dev/null                              # the second one answers
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::io;
use std::time::Duration;

use sockeye::{Address, Claim, Connection, Listener, Server, Takeover, shutdown_signal};
use tokio::io::AsyncWriteExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: restart ADDRESS")?;
    let address: Address = address.parse()?;
    let shutdown = shutdown_signal()?;
    let pid = std::process::id();

    // Whatever can fail at start (configuration, a database) comes before this: the predecessor serves
    // until `run` begins, and goes on if we never get there.
    let claim = Claim::options().mode(0o660);
    let listener: Listener = Takeover::new(claim).listen(&address).await?;
    println!("{pid}: listening on {address}");
    let report = Server::new()
        .drain_timeout(Duration::from_secs(30))
        .on_handover(move |successor| println!("{pid}: handed over to {successor}"))
        .run(listener, greet, shutdown)
        .await?;
    println!("{pid}: {report}");
    Ok(())
}

async fn greet(mut connection: Connection) -> io::Result<()> {
    let greeting = format!("process {} answers\n", std::process::id());
    connection.write_all(greeting.as_bytes()).await
}
