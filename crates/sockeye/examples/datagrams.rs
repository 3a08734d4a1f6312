//! Datagrams: a collector of log lines, as syslog is, that names the sender of each. It answers senders
//! that have an address.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example datagrams -- dgram:/tmp/log.sock
//! $ echo hello | socat - UNIX-SENDTO:/tmp/log.sock
//! $ logger --socket /tmp/log.sock hello
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::io;

use sockeye::{Address, Claim, Datagram, Received, RecvError, shutdown_signal};

/// The longest datagram that is received.
const LIMIT: usize = 8 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: datagrams dgram:PATH";
    let address: Address = std::env::args().nth(1).ok_or(usage)?.parse()?;
    let mut shutdown = shutdown_signal()?;
    // Anybody may send, and the kernel attaches to each datagram who did (SCM_CREDENTIALS).
    let options = Claim::options().mode(0o622).pass_credentials(true);
    let socket = Datagram::from_claim(options.claim(&address)?)?;
    println!("receiving on {address}");

    let mut buffer = vec![0; LIMIT];
    loop {
        let received = tokio::select! {
            received = socket.recv_msg(&mut buffer) => received,
            _ = shutdown.next() => break,
        };
        collect(&socket, &buffer, received)?;
    }
    // What was sent before the path was given up is still collected.
    socket.refuse_new_clients()?;
    while let Some(received) = socket.try_recv(&mut buffer).transpose() {
        collect(&socket, &buffer, received)?;
    }
    println!("stopped");
    Ok(())
}

fn collect(
    socket: &Datagram,
    buffer: &[u8],
    received: Result<Received, RecvError>,
) -> io::Result<()> {
    let received = match received {
        Ok(received) => received,
        Err(RecvError::Io(error)) => return Err(error),
        // Only this one is lost: no sender ends the daemon.
        Err(error) => {
            println!("{error}");
            return Ok(());
        }
    };
    let text = buffer[..received.bytes].trim_ascii_end().escape_ascii();
    match &received.credentials {
        Some(sender) => println!("{sender}: {text}"),
        None => println!("unknown sender: {text}"),
    }
    if let Some(sender) = &received.sender {
        // It may have gone, or its queue may be full: the others do not wait for it.
        let _ = socket.try_send_msg_to(b"collected", &[], sender);
    }
    Ok(())
}
