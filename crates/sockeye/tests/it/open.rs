//! [`Listener::open`] at each kind of address, the names of listeners, and their streams of connections.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use futures_util::StreamExt;
use rustix::net::Shutdown;
use sockeye::activation::ActivationError;
use sockeye::adopt::AdoptError;
use sockeye::claim::ClaimErrorKind;
use sockeye::listener::ListenError;
use sockeye::{Address, Claim, Datagram, Kind, Listener, Name, SeqPacketListener};

use crate::support::serving::in_time;
use crate::support::{Place, mode_of};

#[tokio::test]
async fn a_path_or_an_abstract_name_is_claimed() {
    let place = Place::new();
    let options = Claim::options().mode(0o660);
    for address in [place.address(), place.abstract_address(Kind::Stream)] {
        let listener = Listener::open(&address, &options).unwrap();
        assert_eq!(listener.address(), Some(address.clone()));
        let error = Listener::open(&address, &options).unwrap_err();
        assert!(error.to_string().contains("server owns it"), "{error}");
    }
    place.assert_empty();
    let _listener = Listener::open(&place.address(), &options).unwrap();
    assert_eq!(mode_of(&place.socket()), 0o660);
}

#[tokio::test]
async fn an_inherited_fd_is_adopted() {
    let place = Place::new();
    let inherited = UnixListener::bind(place.socket()).unwrap();
    let raw = inherited.as_raw_fd();
    let address: Address = format!("fd:{raw}").parse().unwrap();
    for options in [Claim::options(), Claim::options().allow_fd_passing(true)] {
        let listener = Listener::open(&address, &options).unwrap();
        assert_eq!(listener.address(), Some(place.address()));
        let _client = UnixStream::connect(place.socket()).unwrap();
        in_time(listener.accept()).await.unwrap();
    }
    assert!(place.socket().exists(), "it is not ours to remove");

    let error = Listener::open(&address, &Claim::options().takeover(true)).unwrap_err();
    let ListenError::Claim(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), &ClaimErrorKind::NoTakeover);
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_named() {
    let place = Place::new();
    let options = Claim::options();
    let (connected, _other) = UnixStream::pair().unwrap();
    let address: Address = format!("fd:{}", connected.as_raw_fd()).parse().unwrap();
    let error = Listener::open(&address, &options).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {address}: "))
    );
    assert!(matches!(
        error,
        ListenError::Adopt {
            source: AdoptError::NotListening,
            ..
        }
    ));
    let error = Listener::open(&"systemd:web".parse().unwrap(), &options).unwrap_err();
    assert!(matches!(
        error,
        ListenError::Activation {
            source: ActivationError::NonePassed,
            ..
        }
    ));
    // Who prints a chain of errors prints no cause twice.
    assert!(std::error::Error::source(&error).is_none());
    for address in [
        place.address_of(Kind::SeqPacket),
        "seqpacket:fd:0".parse().unwrap(),
        "seqpacket:systemd:".parse().unwrap(),
    ] {
        let error = Listener::open(&address, &options).unwrap_err();
        assert!(matches!(error, ListenError::WrongKind(_)), "{error}");
        assert!(
            error.to_string().contains("; use SeqPacketListener"),
            "{error}"
        );
    }
    place.assert_empty();
}

#[tokio::test]
async fn the_kind_of_an_fd_may_be_left_out() {
    let place = Place::new();
    let options = Claim::options();
    let address = place.address_of(Kind::SeqPacket);
    let listener = SeqPacketListener::open(&address, &options).unwrap();
    let fd: Address = format!("fd:{}", listener.as_fd().as_raw_fd())
        .parse()
        .unwrap();
    assert!(Listener::open(&fd, &options).is_err());
    let adopted = SeqPacketListener::open(&fd, &options).unwrap();
    assert_eq!(adopted.address(), Some(address));
}

#[tokio::test]
async fn the_name_of_a_socket_is_the_bound_one() {
    let place = Place::new();
    let options = Claim::options();
    let listener = Listener::open(&place.address(), &options).unwrap();
    let bound = listener.local_addr().unwrap();
    assert_eq!(bound.as_pathname(), Some(&*place.socket()));
    drop(listener);

    let long = Address::from_path(place.at("n".repeat(200))).unwrap();
    let listener = Listener::open(&long, &options).unwrap();
    assert_eq!(listener.address(), Some(long.clone()));
    assert_ne!(listener.local_addr().unwrap().as_pathname(), long.path());

    let datagram = Claim::options().claim(&place.address_of(Kind::Datagram));
    let datagram = Datagram::from_claim(datagram.unwrap()).unwrap();
    assert_eq!(datagram.address(), Some(place.address_of(Kind::Datagram)));
    let unclaimed = Datagram::unclaimed().unwrap();
    assert!(matches!(
        unclaimed.address().unwrap().name(),
        Name::Abstract(_)
    ));
    assert_eq!(Datagram::pair().unwrap().0.address(), None);
}

#[tokio::test]
async fn connections_come_as_a_stream() {
    let place = Place::new();
    let listener = Listener::open(&place.address(), &Claim::options()).unwrap();
    let mut incoming = listener.incoming();
    for _ in 0..3 {
        let _first = UnixStream::connect(place.socket()).unwrap();
        let _second = UnixStream::connect(place.socket()).unwrap();
        for _ in 0..2 {
            let connection = in_time(incoming.next()).await.unwrap().unwrap();
            assert_eq!(
                connection.peer().unwrap().pid(),
                Some(rustix::process::getpid())
            );
        }
    }
    let _last = UnixStream::connect(place.socket()).unwrap();
    rustix::net::shutdown(&listener, Shutdown::Read).unwrap();
    assert!(
        in_time(incoming.next()).await.unwrap().is_ok(),
        "the backlog"
    );
    let error = in_time(incoming.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(in_time(incoming.next()).await.is_none());
}
