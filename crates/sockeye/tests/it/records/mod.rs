//! A server of seqpacket connections: what `drain`, `release`, `server` and `timeouts`
//! say of streams holds for records.

mod drain;
mod serving;

use std::os::fd::AsFd;

use sockeye::server::{Connection, Records, Server};
use sockeye::{Address, Claim, Connector, SeqPacket, SeqPacketListener};

use crate::support::serving::{DRAIN, Running, in_time};

const LIMIT: usize = 1000;

fn claimed(address: &Address) -> SeqPacketListener {
    let options = Claim::options().mode(0o666).allow_fd_passing(true);
    let claim = options.claim(address).unwrap();
    SeqPacketListener::from_claim(claim).unwrap()
}

async fn echo(connection: Connection<SeqPacket>) {
    let mut records = Records::new(connection, LIMIT);
    while let Ok(Some(record)) = records.next().await {
        let descriptors: Vec<_> = record.descriptors.iter().map(AsFd::as_fd).collect();
        if records.send(&record.payload, &descriptors).await.is_err() {
            return;
        }
    }
}

fn serve(address: &Address) -> Running {
    Running::start(Server::new().drain_timeout(DRAIN), claimed(address), echo)
}

async fn connect(address: &Address) -> SeqPacket {
    in_time(Connector::new().connect_seqpacket(address))
        .await
        .unwrap()
}

/// The next record; `None` at the end.
async fn next(client: &SeqPacket) -> Option<Vec<u8>> {
    let mut buffer = [0; LIMIT];
    let size = in_time(client.recv(&mut buffer)).await.unwrap()?;
    Some(buffer[..size].to_vec())
}

async fn ask(client: &SeqPacket, record: &str) -> String {
    client.send(record.as_bytes()).await.unwrap();
    String::from_utf8(next(client).await.unwrap()).unwrap()
}

#[track_caller]
fn assert_nothing_came(client: &SeqPacket) {
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
    let seen = rustix::net::recv(client, &mut [0; 1][..], flags);
    assert_eq!(seen.map(|(size, _)| size), Err(rustix::io::Errno::AGAIN));
}
