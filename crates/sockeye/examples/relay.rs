//! A relay between two sockets: each client is joined to the server behind it, with its half-closes,
//! resets and file descriptors. Several servers take turns.
//!
//! ```console
//! $ sockeye serve --echo /tmp/app.sock &
//! $ cargo run -p sockeye --features signal --example relay -- /tmp/front.sock /tmp/app.sock
//! $ socat - UNIX-CONNECT:/tmp/front.sock
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sockeye::relay::{Relay, RelayAddress, Targets};
use sockeye::{Address, Claim, Connection, Connector, Listener, Server, shutdown_signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: relay PATH TARGET...";
    let address: Address = args.next().ok_or(usage)?.parse()?;
    let targets: Vec<RelayAddress> = args
        .map(|target| target.parse())
        .collect::<Result<_, _>>()?;
    let targets = Arc::new(Targets::new(targets).ok_or(usage)?);

    let shutdown = shutdown_signal()?;
    // Fds pass on to the target, so the listener must accept them, whatever else is being closed.
    let mut listener = Listener::open(&address, &Claim::options().allow_fd_passing(true))?;
    listener.keep_accepting_fds();
    println!("listening on {address}");

    let relay = Relay::new().half_close_timeout(Duration::from_secs(3600));
    let handler = move |client| join(relay.clone(), Arc::clone(&targets), client);
    let report = Server::new()
        .max_connections(1000)
        .task_per_handler()
        .run(listener, handler, shutdown)
        .await?;
    println!("{report}");
    Ok(())
}

async fn join(relay: Relay, targets: Arc<Targets>, client: Connection) -> Result<(), JoinError> {
    let (address, target) = targets.connect(&Connector::new()).await?;
    let report = relay.join(client, target).await?;
    let (to, from) = (report.to_target, report.to_client);
    println!("{address}: {} bytes to it, {} back", to.bytes, from.bytes);
    if let Some(failure) = report.failure {
        println!("{address}: {failure}");
    }
    Ok(())
}

type JoinError = Box<dyn Error + Send + Sync>;
