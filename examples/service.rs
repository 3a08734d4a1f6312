//! A systemd service of `Type=notify`: it says when clients can connect, keeps its watchdog quiet, and says
//! when it stops. `systemd/example.service` is its unit; `activation` is the same with a socket of systemd's.
//!
//! ```console
//! $ cargo build --release -p sockeye-examples --example service
//! $ install target/release/examples/service /usr/local/bin/
//! $ install -m 644 examples/systemd/example.service /etc/systemd/system/
//! $ systemctl start example
//! $ printf 'hello\n' | nc -NU /run/sockeye-example/app.sock
//! ```

#[path = "../crates/sockeye/examples/common/mod.rs"]
mod common;

use std::time::Duration;

use sd_notify::NotifyState;
use sockeye::{Claim, Connection, Framing, FramingError, Listener, Messages, Server};

// On one thread, so that the watchdog notices whatever keeps the clients from being served.
#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: service ADDRESS [--drain D]")?;
    args.end()?;
    let (signal, abort) = common::signals()?;
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    common::listening(&args.address);
    // Without a service manager these do nothing.
    sd_notify::notify(&[NotifyState::Ready])?;
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tokio::spawn(keep_alive(limit / 2));
    }
    let shutdown = async {
        signal.await;
        // The drain goes on though the manager does not hear of it.
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    };
    let server = Server::new()
        .max_connections(1000)
        .max_per_uid(100)
        .idle_timeout(Duration::from_secs(60))
        .drain_timeout(args.drain)
        .abort_on(abort);
    common::finish(&server.run(listener, echo_lines, shutdown).await?)
}

/// Until the process ends, the drain included.
async fn keep_alive(period: Duration) {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        // Where that fails the manager restarts the service, which is what it is for.
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

async fn echo_lines(connection: Connection) -> Result<(), FramingError> {
    let mut messages = Messages::new(connection, Framing::Line, 64 << 10);
    while let Some(line) = messages.next().await? {
        messages.send(&line.payload).await?;
    }
    Ok(())
}
