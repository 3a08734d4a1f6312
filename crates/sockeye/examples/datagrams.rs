//! Datagrams: a collector of log lines, as syslog is, that names the sender of each. It answers senders
//! that have an address.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example datagrams -- dgram:/tmp/log.sock
//! $ echo hello | socat - UNIX-SENDTO:/tmp/log.sock
//! $ logger --socket /tmp/log.sock hello
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

mod common;

use std::io;
use std::pin::pin;

use sockeye::{Claim, Datagram, Received, RecvError, Report};

/// The longest datagram that is received.
const LIMIT: usize = 8 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let args = common::Arguments::parse("usage: datagrams dgram:PATH [--drain D]")?;
    args.end()?;
    let (shutdown, _) = common::signals()?;
    // Anybody may send, and the kernel attaches to each datagram who did (SCM_CREDENTIALS).
    let options = Claim::options().mode(0o622).pass_credentials(true);
    let socket = Datagram::from_claim(options.claim(&args.address)?)?;
    common::listening(&args.address);

    let (mut report, mut buffer) = (Report::default(), vec![0; LIMIT]);
    let mut shutdown = pin!(shutdown);
    loop {
        let received = tokio::select! {
            received = socket.recv_msg(&mut buffer) => received,
            () = &mut shutdown => break,
        };
        report.served += u64::from(collect(&socket, &buffer, received, &mut report)?);
    }
    // What was sent before the path was given up is still collected. Nothing of that waits, so that it
    // needs no drain timeout.
    socket.refuse_new_clients()?;
    while let Some(received) = socket.try_recv(&mut buffer).transpose() {
        report.drained += u64::from(collect(&socket, &buffer, received, &mut report)?);
    }
    common::finish(&report)
}

/// Whether it was one that could be received.
fn collect(
    socket: &Datagram,
    buffer: &[u8],
    received: Result<Received, RecvError>,
    report: &mut Report,
) -> io::Result<bool> {
    let received = match received {
        Ok(received) => received,
        Err(RecvError::Io(error)) => return Err(error),
        // Only this one is lost: no sender ends the daemon.
        Err(error) => {
            report.refused += 1;
            println!("{error}");
            return Ok(false);
        }
    };
    let text = buffer[..received.bytes].trim_ascii_end().escape_ascii();
    match &received.credentials {
        Some(sender) => println!("{sender}: {text}"),
        None => println!("unknown sender: {text}"),
    }
    // It may have gone, or its queue may be full: the others do not wait for it.
    if let Some(sender) = &received.sender
        && let Err(_lost) = socket.try_send_msg_to(b"collected", &[], sender)
    {
        report.dropped_replies += 1;
    }
    Ok(true)
}
