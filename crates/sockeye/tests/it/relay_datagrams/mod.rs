//! A relay of datagrams between clients and targets that know nothing of it.

mod answers;
mod bounds;
mod credentials;
mod descriptors;
mod observed;
mod records;
mod shutdown;
mod targets;

use std::time::Duration;

use rustix::net::SocketAddrUnix;
use sockeye::ancillary::Received;
use sockeye::relay::{DatagramRelay, DatagramRelayError, DatagramRelayReport};
use sockeye::{Address, Claim, Connector, Datagram, Kind, Name};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::Place;
use crate::support::serving::in_time;

/// A directory with the paths of the relay and of its targets.
struct RelayPlace(Place);

impl RelayPlace {
    fn new() -> Self {
        Self(Place::new())
    }

    fn address(&self, name: &str) -> Address {
        Address::new(Kind::Datagram, &Name::Path(self.0.at(name))).unwrap()
    }

    /// A socket that is bound to that name.
    fn bound(&self, name: &str) -> Datagram {
        let options = Claim::options().mode(0o666).allow_fd_passing(true);
        let claim = options.claim(&self.address(name)).unwrap();
        Datagram::from_claim(claim).unwrap()
    }

    fn relay_to<const N: usize>(&self, targets: [&str; N]) -> DatagramRelay {
        DatagramRelay::new(targets.map(|name| self.address(name)))
    }

    /// Claims `relay.sock` and relays it.
    fn run(&self, relay: DatagramRelay) -> RunningRelay {
        let options = relay.claim_options(Claim::options().mode(0o666));
        let claim = options.claim(&self.address("relay.sock")).unwrap();
        RunningRelay::start(relay, Datagram::from_claim(claim).unwrap())
    }

    /// A client that is connected to the relay and can be answered.
    async fn client(&self) -> Datagram {
        let client = Datagram::unclaimed().unwrap();
        let address = self.address("relay.sock");
        let connected = Connector::new().connect_datagram(&client, &address).await;
        connected.unwrap();
        client
    }
}

struct RunningRelay {
    shutdown: CancellationToken,
    run: JoinHandle<Result<DatagramRelayReport, DatagramRelayError>>,
}

impl RunningRelay {
    fn start(relay: DatagramRelay, socket: Datagram) -> Self {
        let shutdown = CancellationToken::new();
        let told = shutdown.clone().cancelled_owned();
        let run = tokio::spawn(relay.run(socket, told));
        Self { shutdown, run }
    }

    fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Without waiting until every sender is quiet: the clock jumps.
    async fn quick_report(self) -> DatagramRelayReport {
        tokio::time::pause();
        self.report().await
    }

    async fn report(self) -> DatagramRelayReport {
        self.stop();
        in_time(self.run).await.unwrap().unwrap()
    }
}

/// A received datagram and its bytes.
async fn receive(socket: &Datagram) -> (Vec<u8>, Received) {
    let mut buffer = vec![0; 5 << 20];
    let received = in_time(socket.recv_msg(&mut buffer)).await.unwrap();
    buffer.truncate(received.bytes);
    (buffer, received)
}

async fn text(socket: &Datagram) -> String {
    String::from_utf8(receive(socket).await.0).unwrap()
}

async fn send(socket: &Datagram, text: &str) {
    in_time(socket.send_msg(text.as_bytes(), &[]))
        .await
        .unwrap();
}

/// Receives one datagram and answers it with "re: " before it.
async fn answer(target: &Datagram) -> (String, SocketAddrUnix) {
    let (bytes, received) = receive(target).await;
    let text = String::from_utf8(bytes).unwrap();
    let sender = received.sender.unwrap();
    let reply = format!("re: {text}");
    in_time(target.send_msg_to(reply.as_bytes(), &[], &sender))
        .await
        .unwrap();
    (text, sender)
}

/// Nothing is queued.
#[track_caller]
fn assert_empty(socket: &Datagram) {
    assert!(socket.try_recv(&mut [0; 99]).unwrap().is_none());
}

const SECOND: Duration = Duration::from_secs(1);
