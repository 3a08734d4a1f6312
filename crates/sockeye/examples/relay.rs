//! A relay between two sockets: each client is joined to the server behind it, with its half-closes,
//! resets and file descriptors. Several servers take turns.
//!
//! ```console
//! $ sockeye serve --echo /tmp/app.sock &
//! $ cargo run -p sockeye --features signal --example relay -- /tmp/front.sock /tmp/app.sock
//! $ socat - UNIX-CONNECT:/tmp/front.sock
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::BoxError;
use sockeye::relay::{Relay, RelayAddress, Targets};
use sockeye::{Claim, Connection, Connector, Listener, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let usage = "usage: relay ADDRESS TARGET... [--drain D]";
    let mut args = common::Arguments::parse(usage)?;
    let targets: Vec<_> = args
        .rest()?
        .iter()
        .map(RelayAddress::parse)
        .collect::<Result<_, _>>()?;
    let targets = Arc::new(Targets::new(targets).ok_or_else(|| args.usage_error())?);

    let (shutdown, abort) = common::signals()?;
    // Fds pass on to the target, so the listener must accept them, whatever else is being closed.
    let options = Claim::options().allow_fd_passing(true);
    let mut listener = Listener::open(&args.address, &options)?;
    listener.keep_accepting_fds();
    common::listening(&args.address);

    let relay = Relay::new().half_close_timeout(Duration::from_secs(3600));
    let handler = move |client| join(relay.clone(), Arc::clone(&targets), client);
    let report = Server::new()
        .max_connections(1000)
        .drain_timeout(args.drain)
        .abort_on(abort)
        .task_per_handler()
        .run(listener, handler, shutdown)
        .await?;
    common::finish(&report)
}

async fn join(relay: Relay, targets: Arc<Targets>, client: Connection) -> Result<(), BoxError> {
    let (address, target) = targets.connect(&Connector::new()).await?;
    let report = relay.join(client, target).await?;
    let (to, from) = (report.to_target, report.to_client);
    println!("{address}: {} bytes to it, {} back", to.bytes, from.bytes);
    if let Some(failure) = report.failure {
        println!("{address}: {failure}");
    }
    Ok(())
}
