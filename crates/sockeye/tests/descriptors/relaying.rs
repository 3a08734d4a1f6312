//! A relay with little room: fds stay in the kernel until they fit.

use std::os::fd::AsFd;
use std::time::Duration;

use sockeye::ancillary::MAX_DESCRIPTORS;
use sockeye::relay::{DatagramRelay, FdPolicy};
use sockeye::{Address, Claim, Connector, Datagram, Kind, Name};
use tokio::sync::oneshot;

use crate::sockets::runtime;
use crate::{alone, files, with_room_for};

/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn claimed(address: &Address) -> Datagram {
    let options = Claim::options()
        .allow_fd_passing(true)
        .pass_credentials(true);
    let mut socket = Datagram::from_claim(options.claim(address).unwrap()).unwrap();
    socket.keep_accepting_fds();
    socket
}

/// Each message has as many as the kernel takes, and there is room for two of them at a time.
#[test]
fn the_fds_of_many_datagrams_arrive_although_few_fit() {
    const CLIENTS: usize = 8;
    alone(|| {
        let place = tempfile::tempdir().unwrap();
        let address = |name| Address::new(Kind::Datagram, &Name::Path(place.path().join(name)));
        let (front, behind) = (address("front").unwrap(), address("behind").unwrap());
        let file = std::fs::File::open("/dev/null").unwrap();
        let fds = [file.as_fd(); MAX_DESCRIPTORS];
        let exchange = async {
            let target = claimed(&behind);
            let relay = DatagramRelay::new([behind.clone()]);
            let (stop, stopped) = oneshot::channel::<()>();
            let run = relay.run(claimed(&front), async {
                let _ = stopped.await;
            });
            let clients = async {
                let mut clients = Vec::new();
                for _ in 0..CLIENTS {
                    let mut client = Datagram::unclaimed().unwrap();
                    // They stay in its queue until they fit.
                    client.allow_fd_passing(true).unwrap();
                    let connected = Connector::new().connect_datagram(&client, &front).await;
                    connected.unwrap();
                    client.send_msg(b"to the target", &fds).await.unwrap();
                    clients.push(client);
                }
                for _ in 0..CLIENTS {
                    let received = target.recv_msg(&mut [0; 99]).await.unwrap();
                    assert_eq!(received.descriptors.len(), MAX_DESCRIPTORS);
                    drop(received.descriptors);
                    let sender = received.sender.unwrap();
                    target.send_msg_to(b"back", &fds, &sender).await.unwrap();
                }
                for client in &clients {
                    let received = client.recv_msg(&mut [0; 99]).await.unwrap();
                    assert_eq!(received.descriptors.len(), MAX_DESCRIPTORS);
                }
                stop.send(()).unwrap();
                tokio::time::pause();
            };
            tokio::join!(run, clients).0.unwrap()
        };
        let report = with_room_for(580, || runtime().block_on(exchange));
        let all = (CLIENTS * MAX_DESCRIPTORS) as u64;
        assert_eq!((report.to_target.fds, report.to_client.fds), (all, all));
        assert_eq!(
            (report.to_target.lost_fds, report.to_client.lost_fds),
            (0, 0)
        );
    });
}

/// There is room for two outgoing sockets, and no datagram is lost for that.
#[test]
fn senders_without_a_free_descriptor_take_turns() {
    const CLIENTS: usize = 12;
    alone(|| {
        let place = tempfile::tempdir().unwrap();
        let address = |name| Address::new(Kind::Datagram, &Name::Path(place.path().join(name)));
        let (front, behind) = (address("front").unwrap(), address("behind").unwrap());
        let runtime = runtime();
        // The limit of open files alone does not bound the senders.
        let _others = files(200);
        let _entered = runtime.enter();
        let target = claimed(&behind);
        let relay = DatagramRelay::new([behind.clone()]).fds(FdPolicy::Refuse);
        let options = relay.claim_options(Claim::options());
        let socket = Datagram::from_claim(options.claim(&front).unwrap()).unwrap();
        let clients: Vec<Datagram> = (0..CLIENTS)
            .map(|_| {
                let client = Datagram::unclaimed().unwrap();
                let connector = Connector::new();
                let connected = connector.connect_datagram(&client, &front);
                runtime.block_on(connected).unwrap();
                client
            })
            .collect();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = relay.run(socket, async {
            let _ = stopped.await;
        });
        let exchange = async {
            for client in &clients {
                client.send_msg(b"question", &[]).await.unwrap();
                let received = target.recv_msg(&mut [0; 99]).await.unwrap();
                let sender = received.sender.unwrap();
                target.send_msg_to(b"answer", &[], &sender).await.unwrap();
                assert_eq!(client.recv_msg(&mut [0; 99]).await.unwrap().bytes, 6);
            }
            stop.send(()).unwrap();
            tokio::time::pause();
        };
        let both = async { tokio::join!(run, exchange).0.unwrap() };
        let in_time = tokio::time::timeout(PATIENCE, both);
        let report = with_room_for(2, || runtime.block_on(in_time)).unwrap();
        assert_eq!(report.to_client.datagrams, CLIENTS as u64);
        assert_eq!(report.evicted, CLIENTS as u64 - 2);
        assert_eq!(report.to_target.dropped, 0);
    });
}
