//! Connecting: what `connect` says of streams holds for records.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use sockeye::adopt::AdoptError;
use sockeye::connect::{ConnectError, ConnectErrorKind};
use sockeye::packet::{BlockingDatagram, BlockingSeqPacket};
use sockeye::{Address, Claim, Connector, Kind, Name};

use super::{direct_pair, send_all};
use crate::support::{Place, Task, bound, fill_backlog, is_close_on_exec, leave_stale, listening};

/// A way to connect a socket of a kind; whoever wants to can send with it.
struct Way {
    kind: Kind,
    connect: fn(&Connector, &Address) -> Connected,
}

type Connected = Result<Box<dyn Client>, ConnectError>;

trait Client {
    fn send(&self, record: &[u8]);
}

impl Client for BlockingSeqPacket {
    fn send(&self, record: &[u8]) {
        send_all(self, &[record]);
    }
}

impl Client for BlockingDatagram {
    fn send(&self, record: &[u8]) {
        send_all(self, &[record]);
    }
}

fn seqpacket(connector: &Connector, address: &Address) -> Connected {
    Ok(Box::new(connector.connect_seqpacket_blocking(address)?))
}

fn datagram(connector: &Connector, address: &Address) -> Connected {
    let client = BlockingDatagram::unclaimed().unwrap();
    connector.connect_datagram_blocking(&client, address)?;
    Ok(Box::new(client))
}

#[cfg(feature = "tokio")]
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[cfg(feature = "tokio")]
fn seqpacket_async(connector: &Connector, address: &Address) -> Connected {
    let runtime = runtime();
    let client = runtime.block_on(connector.connect_seqpacket(address))?;
    let _entered = runtime.enter();
    Ok(Box::new(client.into_blocking().unwrap()))
}

#[cfg(feature = "tokio")]
fn datagram_async(connector: &Connector, address: &Address) -> Connected {
    runtime().block_on(async {
        let client = sockeye::Datagram::unclaimed().unwrap();
        connector.connect_datagram(&client, address).await?;
        let fd = client.as_fd().try_clone_to_owned().unwrap();
        let client: Box<dyn Client> = Box::new(BlockingDatagram::adopt(fd).unwrap());
        Ok(client)
    })
}

fn ways() -> Vec<Way> {
    let way = |kind, connect| Way { kind, connect };
    vec![
        way(Kind::SeqPacket, seqpacket),
        way(Kind::Datagram, datagram),
        #[cfg(feature = "tokio")]
        way(Kind::SeqPacket, seqpacket_async),
        #[cfg(feature = "tokio")]
        way(Kind::Datagram, datagram_async),
    ]
}

fn listening_or_bound(kind: Kind, path: &std::path::Path) -> std::os::fd::OwnedFd {
    match kind {
        Kind::Datagram => bound(kind, path),
        _ => listening(kind, path, 8),
    }
}

/// What the first client of `server` sends.
fn first_record(kind: Kind, server: &std::os::fd::OwnedFd) -> Vec<u8> {
    let mut buffer = [0; 64];
    let flags = rustix::net::RecvFlags::empty();
    let accepted = (kind == Kind::SeqPacket).then(|| rustix::net::accept(server).unwrap());
    let (size, _) =
        rustix::net::recv(accepted.as_ref().unwrap_or(server), &mut buffer, flags).unwrap();
    buffer[..size].to_vec()
}

/// Neither waiting nor trying again changes anything; still it must not begin.
fn patient() -> Connector {
    Connector::new()
        .wait_for(Duration::from_secs(600))
        .connect_timeout(Duration::from_secs(600))
}

#[test]
fn paths_of_any_length_and_abstract_names_are_called() {
    for way in ways() {
        let place = Place::new();
        let deep = place.at("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let names = [
            Name::Path(place.socket()),
            Name::Path(deep.join("app.sock")),
            Name::Path(place.at("n".repeat(200))),
            Name::Abstract(place.socket().into_os_string().into_encoded_bytes()),
        ];
        for name in names {
            let address = Address::new(way.kind, &name).unwrap();
            let server = Claim::options().claim(&address).unwrap();
            let client = (way.connect)(&Connector::new(), &address).unwrap();
            client.send(b"hello");
            let server = server.as_fd().try_clone_to_owned().unwrap();
            assert_eq!(first_record(way.kind, &server), b"hello", "{address}");
        }
    }
}

#[test]
fn a_server_is_waited_for() {
    for way in ways() {
        for stale in [false, true] {
            let place = Place::new();
            if stale {
                leave_stale(&place.socket());
            }
            let address = place.address_of(way.kind);
            let Way { connect, kind } = way;
            let task = Task::start(move || {
                let client = connect(&patient(), &address).unwrap();
                client.send(b"at last");
            });
            task.wait_until_asleep();
            let claim = Claim::options().claim(&place.address_of(kind)).unwrap();
            let server = claim.as_fd().try_clone_to_owned().unwrap();
            assert_eq!(first_record(kind, &server), b"at last");
            task.join();
        }
    }
}

#[test]
fn no_server_is_told_apart() {
    for way in ways() {
        let place = Place::new();
        let address = place.address_of(way.kind);
        let error = (way.connect)(&Connector::new(), &address).err().unwrap();
        assert!(matches!(error.kind(), ConnectErrorKind::Absent), "{error}");
        leave_stale(&place.socket());
        let error = (way.connect)(&Connector::new(), &address).err().unwrap();
        assert!(matches!(error.kind(), ConnectErrorKind::Stale), "{error}");
        let waited = Duration::from_millis(1);
        let error = (way.connect)(&Connector::new().wait_for(waited), &address);
        assert_eq!(error.err().unwrap().waited(), Some(waited));
        let nobody = place.abstract_address(way.kind);
        let error = (way.connect)(&Connector::new(), &nobody).err().unwrap();
        assert!(
            matches!(error.kind(), ConnectErrorKind::NobodyListens),
            "{error}"
        );
    }
}

#[test]
fn a_full_backlog_is_waited_for() {
    for way in ways().into_iter().filter(|way| way.kind == Kind::SeqPacket) {
        let place = Place::new();
        let server = listening(Kind::SeqPacket, &place.socket(), 2);
        let _clients = fill_backlog(Kind::SeqPacket, &place.socket());
        let soon = Connector::new().connect_timeout(Duration::from_millis(1));
        let error = (way.connect)(&soon, &place.address_of(Kind::SeqPacket));
        let error = error.err().unwrap();
        assert!(
            matches!(error.kind(), ConnectErrorKind::BacklogFull),
            "{error}"
        );
        assert_eq!(error.waited(), Some(Duration::from_millis(1)));
        let address = place.address_of(Kind::SeqPacket);
        let task = Task::start(move || {
            (way.connect)(&patient(), &address).unwrap();
        });
        task.wait_until_asleep();
        drop(rustix::net::accept(&server).unwrap());
        task.join();
    }
}

/// The kernel says EPROTOTYPE of a path, and ECONNREFUSED of an abstract name.
#[test]
fn a_server_of_another_kind_is_named_with_the_address_to_give() {
    for way in ways() {
        for actual in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
            if actual == way.kind {
                continue;
            }
            let place = Place::new();
            let _server = listening_or_bound(actual, &place.socket());
            let theirs = place.abstract_address(actual);
            let _abstract = Claim::options().claim(&theirs).unwrap();
            for (address, right) in [
                (place.address_of(way.kind), place.address_of(actual)),
                (place.abstract_address(way.kind), theirs),
            ] {
                // An abstract name may still be taken by a server of the right kind.
                let connector = match address.path() {
                    Some(_) => patient(),
                    None => Connector::new(),
                };
                let error = (way.connect)(&connector, &address).err().unwrap();
                assert!(
                    matches!(error.kind(), ConnectErrorKind::WrongKind { actual: Some(kind) } if *kind == actual),
                    "{error}"
                );
                let advice = format!("; give the address as {right}");
                assert!(error.to_string().ends_with(&advice), "{error}");
                // It is worth taking.
                let followed = ways().into_iter().find(|way| way.kind == actual);
                if let Some(way) = followed {
                    (way.connect)(&Connector::new(), &right).unwrap();
                }
            }
        }
    }
}

#[test]
fn an_address_of_another_kind_is_not_tried() {
    for way in ways() {
        for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
            if kind == way.kind {
                continue;
            }
            let place = Place::new();
            let error = (way.connect)(&patient(), &place.address_of(kind))
                .err()
                .unwrap();
            let wanted = way.kind;
            assert!(
                matches!(error.kind(), ConnectErrorKind::WrongAddressKind { wanted: w } if *w == wanted),
                "{error}"
            );
            // Not the other address: a server of this kind may be there, and then that leads back here.
            let method = match kind {
                Kind::Stream => "connect",
                Kind::SeqPacket => "connect_seqpacket",
                Kind::Datagram => "connect_datagram",
            };
            let advice = format!("; use Connector::{method}");
            assert!(error.to_string().ends_with(&advice), "{error}");
        }
    }
}

#[test]
fn an_inherited_connection_is_adopted() {
    for way in ways().into_iter().filter(|way| way.kind == Kind::SeqPacket) {
        let (theirs, ours) = direct_pair(Kind::SeqPacket);
        rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
        let at = |fd: &std::os::fd::OwnedFd, kind| {
            Address::new(kind, &Name::Fd(fd.as_raw_fd())).unwrap()
        };
        let client = (way.connect)(&patient(), &at(&ours, Kind::SeqPacket)).unwrap();
        client.send(b"x");
        let flags = rustix::net::RecvFlags::empty();
        assert_eq!(
            rustix::net::recv(&theirs, &mut [0; 8][..], flags)
                .unwrap()
                .0,
            1
        );

        let (other, _other) = direct_pair(Kind::Datagram);
        let error = (way.connect)(&patient(), &at(&other, Kind::SeqPacket))
            .err()
            .unwrap();
        let ConnectErrorKind::NotAdopted(found) = error.kind() else {
            panic!("{error}");
        };
        assert!(matches!(
            found,
            AdoptError::WrongKind {
                actual: Some(Kind::Datagram),
                wanted: Kind::SeqPacket
            }
        ));
    }
    let (ours, _theirs) = direct_pair(Kind::SeqPacket);
    let name = Name::Fd(ours.as_raw_fd());
    let address = Address::new(Kind::SeqPacket, &name).unwrap();
    let client = Connector::new()
        .connect_seqpacket_blocking(&address)
        .unwrap();
    assert!(is_close_on_exec(&client));
    let address = Address::new(Kind::Datagram, &name).unwrap();
    let error = datagram(&patient(), &address).err().unwrap();
    assert!(
        matches!(error.kind(), ConnectErrorKind::NotAnAddressToCall),
        "{error}"
    );
}
