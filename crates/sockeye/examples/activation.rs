//! Socket activation and sd_notify(3): the service manager opens the socket and starts the daemon at the
//! first client; the daemon says when it is ready and when it stops.
//!
//! ```console
//! $ cargo build -p sockeye --features signal --example activation
//! $ systemd-socket-activate -l /tmp/app.sock target/debug/examples/activation systemd:
//! $ echo hello | nc -NU /tmp/app.sock
//! ```
//!
//! ```ini
//! # app.socket            # app.service
//! [Socket]                [Service]
//! ListenStream=/run/app.sock
//! SocketMode=0660         Type=notify
//!                         ExecStart=/usr/local/bin/activation systemd:
//! ```
//!
//! `systemd:` is the only socket that was passed, `systemd:NAME` that of `FileDescriptorName=NAME`. With a
//! path it makes the socket itself, and runs without a service manager, too.

mod common;

use std::env;

use sockeye::{Address, BlockingDatagram, Claim, Connection, Connector, Listener, Server, server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let usage = "usage: activation [ADDRESS] [--drain D]";
    let args = common::Arguments::parse_or(Some("systemd:"), usage)?;
    args.end()?;
    // First of all, before anything has the number of an fd that was announced and not passed.
    let listener = Listener::open(&args.address, &Claim::options().mode(0o660))?;
    let (signals, abort) = common::signals()?;
    common::listening(&args.address);
    notify("READY=1")?;
    let shutdown = async {
        signals.await;
        // The manager goes on though nobody hears of it.
        let _ = notify("STOPPING=1");
    };
    // An activated socket is the manager's: it stays, and its next clients start the daemon again.
    let server = Server::new().drain_timeout(args.drain).abort_on(abort);
    common::finish(&server.run(listener, echo, shutdown).await?)
}

async fn echo(mut connection: Connection) -> std::io::Result<()> {
    server::echo(&mut connection).await
}

/// Tells the service manager; nobody where there is none.
fn notify(state: &str) -> Result<(), common::BoxError> {
    let Ok(name) = env::var("NOTIFY_SOCKET") else {
        return Ok(());
    };
    // A path or `@name`, as in an address.
    let manager: Address = format!("dgram:{name}").parse()?;
    let socket = BlockingDatagram::unbound()?;
    Connector::new().connect_datagram_blocking(&socket, &manager)?;
    socket.send_msg(state.as_bytes(), &[])?;
    Ok(())
}
