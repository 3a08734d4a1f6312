//! A daemon that can be restarted without a gap: each new process takes the listening socket over from
//! the one that runs, which answers what it has begun and ends. No connect(2) is refused meanwhile.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example restart -- /tmp/restart.sock &
//! $ cargo run -p sockeye --features signal --example restart -- /tmp/restart.sock &    # the first one ends
//! $ nc -U /tmp/restart.sock < /dev/null                              # the second one answers
//! ```
#![expect(clippy::print_stderr, reason = "it is a program")]

mod common;

use std::io;

use sockeye::{Claim, Connection, Listener, Server, Takeover};
use tokio::io::AsyncWriteExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: restart ADDRESS [--drain D]")?;
    args.end()?;
    let (shutdown, abort) = common::signals()?;

    // Whatever can fail at start (configuration, a database) comes before this: the predecessor serves
    // until `run` begins, and goes on if we never get there.
    let claim = Claim::options().mode(0o660);
    let listener: Listener = Takeover::new(claim).listen(&args.address).await?;
    common::listening(&args.address);
    let report = Server::new()
        .drain_timeout(args.drain)
        .abort_on(abort)
        .on_handover(|successor| eprintln!("handed over to {successor}"))
        .run(listener, greet, shutdown)
        .await?;
    common::finish(&report)
}

async fn greet(mut connection: Connection) -> io::Result<()> {
    let greeting = format!("process {} answers\n", std::process::id());
    connection.write_all(greeting.as_bytes()).await
}
