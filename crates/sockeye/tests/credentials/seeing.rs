//! What a target sees.

use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{DumpableBehavior, dumpable_behavior};
use sockeye::packet::BlockingSeqPacketListener;
use sockeye::relay::{ClientConnector, RelayAddress, Targets};
use sockeye::{Claim, Connector, Datagram, Kind};

use super::*;

#[test]
fn a_target_sees_the_user_and_the_groups_of_the_client() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let connector = ClientConnector::new(Connector::new()).unwrap();
        runtime().block_on(async {
            for user in USERS {
                let client = user.credentials();
                assert_eq!((client.uid(), client.gid()), (user.uid, user.gid));
                assert_eq!(client.groups().collect::<Vec<_>>(), user.groups);
                let address = place.address();
                let _stream = connector.connect(&address, &client).await.unwrap();
                user.assert_peer(listener.accept().unwrap().0);
            }
        });
    });
}

#[test]
fn a_seqpacket_target_sees_them_too() {
    alone(|| {
        let place = Place::new();
        let address = place.address_of(Kind::SeqPacket);
        let claim = Claim::options().mode(0o666).claim(&address).unwrap();
        let listener = BlockingSeqPacketListener::from_claim(claim).unwrap();
        let connector = ClientConnector::new(Connector::new()).unwrap();
        runtime().block_on(async {
            for user in USERS {
                let client = user.credentials();
                let connect = connector.connect_seqpacket(&address, &client);
                let _socket = connect.await.unwrap();
                user.assert_peer(listener.accept().unwrap());
            }
        });
    });
}

#[test]
fn a_datagram_socket_is_connected_with_the_permissions_of_the_client() {
    alone(|| {
        let place = Place::new();
        let address = place.address_of(Kind::Datagram);
        let connector = ClientConnector::new(Connector::new()).unwrap();
        runtime().block_on(async {
            let claim = Claim::options().mode(0o600).claim(&address).unwrap();
            let server = Datagram::from_claim(claim).unwrap();
            let socket = Datagram::unclaimed().unwrap();
            let (alice, root) = (ALICE.credentials(), ROOT.credentials());
            let denied = connector.connect_datagram(&socket, &address, &alice);
            let denied = denied.await.unwrap_err().to_string();
            assert!(
                denied.contains("gives uid 12345 no write permission"),
                "{denied}"
            );
            let connected = connector.connect_datagram(&socket, &address, &root);
            connected.await.unwrap();
            drop(server);
        });
    });
}

/// Relative to the working directory, longer than a socket address, and through an fd of this process.
#[test]
fn a_client_reaches_every_kind_of_path() {
    alone(|| {
        let place = Place::new();
        let deep = place.at("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let long = deep.join("app.sock");
        let listener = place.listener();
        fs::rename(place.socket(), &long).unwrap();
        assert!(long.as_os_str().as_bytes().len() > 108);
        let directory = fs::File::open(&deep).unwrap();
        let through_fd = format!("/proc/self/fd/{}/app.sock", directory.as_raw_fd());
        let up = std::env::current_dir().unwrap();
        let up = up.components().skip(1).map(|_| "..").collect::<PathBuf>();
        let relative = up.join(long.strip_prefix("/").unwrap());
        let connector = ClientConnector::new(Connector::new()).unwrap();
        let client = ALICE.credentials();
        runtime().block_on(async {
            for path in [long, through_fd.into(), relative] {
                let address = Address::from_path(path).unwrap();
                let connected = connector.connect(&address, &client).await;
                let _stream = connected.unwrap();
                ALICE.assert_peer(listener.accept().unwrap().0);
            }
        });
    });
}

/// The kernel makes the process non-dumpable, so that its files in /proc are root's.
#[test]
fn the_process_can_still_look_at_itself() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let connector = ClientConnector::new(Connector::new()).unwrap();
        runtime().block_on(async {
            let client = ALICE.credentials();
            let _stream = connector.connect(&place.address(), &client).await.unwrap();
        });
        assert_ne!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        for path in ["/proc/self/fd", "/proc/thread-self/fd"] {
            let link = Path::new(path).join(listener.as_raw_fd().to_string());
            let target = fs::read_link(link).unwrap();
            assert!(
                target.to_str().unwrap().starts_with("socket:["),
                "{target:?}"
            );
        }
        assert_eq!(sockeye::ids::own_uid(), Some(0));
        fs::read("/proc/self/maps").unwrap();
        fs::read("/proc/self/environ").unwrap();
    });
}

#[test]
fn one_of_several_targets_sees_the_client() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let closed = UnixListener::bind(place.at("closed.sock")).unwrap();
        set_mode(&place.at("closed.sock"), 0o600);
        let addresses = [place.at("closed.sock"), place.socket()];
        let addresses = addresses.map(|path| RelayAddress::parse(path).unwrap());
        let targets = Targets::new(addresses).unwrap();
        let connector = Connector::new();
        let threads = ClientConnector::new(connector.clone()).unwrap();
        runtime().block_on(async {
            for (user, denied) in [(ALICE, true), (BOB, true), (ROOT, false)] {
                let client = user.credentials();
                let attempt = |connector, address| {
                    let threads = threads.with_connector(connector);
                    let client = &client;
                    async move { threads.connect_target(address, client).await }
                };
                let connected = targets.connect_with(&connector, attempt).await;
                let (address, _socket) = connected.unwrap();
                assert_eq!(address, &targets.addresses()[usize::from(denied)]);
                let target = if denied { &listener } else { &closed };
                user.assert_peer(target.accept().unwrap().0);
            }
        });
    });
}
