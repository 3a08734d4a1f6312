//! `BlockingListener`: its connections, and the end of them.

use std::os::unix::net::UnixStream;
use std::thread;

use sockeye::claim::BlockingListener;
use sockeye::{Claim, Kind};

use crate::support::Place;

fn blocking(place: &Place) -> BlockingListener {
    let claim = Claim::options().claim(&place.address()).unwrap();
    claim.into_blocking().unwrap()
}

#[test]
fn a_stopped_listener_serves_its_backlog_and_ends() {
    let place = Place::new();
    let listener = blocking(&place);
    let _clients = [(); 3].map(|()| UnixStream::connect(place.socket()).unwrap());
    listener.stop_handle().stop();
    UnixStream::connect(place.socket()).unwrap_err();
    assert_eq!(listener.incoming().map(Result::unwrap).count(), 3);
    assert!(listener.incoming().next().is_none());
    drop(listener);
    place.assert_empty();
}

#[test]
fn threads_that_wait_for_connections_are_stopped() {
    for _ in 0..20 {
        let place = Place::new();
        let listener = blocking(&place);
        let handle = listener.stop_handle();
        thread::scope(|scope| {
            let servers = [(); 3].map(|()| scope.spawn(|| listener.incoming().count()));
            let _client = UnixStream::connect(place.socket()).unwrap();
            handle.clone().stop();
            let served: usize = servers.map(|server| server.join().unwrap()).iter().sum();
            assert_eq!(served, 1);
        });
    }
}

#[test]
fn a_stop_handle_keeps_no_listener() {
    let place = Place::new();
    let address = place.abstract_address(Kind::Stream);
    let claim = Claim::options().claim(&address).unwrap();
    let listener = claim.into_blocking().unwrap();
    let handle = listener.stop_handle();
    drop(listener);
    let next = Claim::options().claim(&address).unwrap();
    handle.stop();
    let next = next.into_blocking().unwrap();
    let _client = sockeye::Connector::new()
        .connect_blocking(&address)
        .unwrap();
    next.accept().unwrap();
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_stopped_listener_that_was_adopted_goes_on_for_its_other_owners() {
    let place = Place::new();
    let owner = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    let adopted = sockeye::Listener::from_std(owner.try_clone().unwrap()).unwrap();
    let listener = adopted.into_blocking().unwrap();
    let handle = listener.stop_handle();
    thread::scope(|scope| {
        let server = scope.spawn(|| listener.incoming().count());
        let _client = UnixStream::connect(place.socket()).unwrap();
        // Whether or not it has accepted that one.
        handle.stop();
        assert!(server.join().unwrap() <= 1);
    });
    assert!(listener.incoming().next().is_none());
    drop(listener);
    let _client = UnixStream::connect(place.socket()).unwrap();
    owner.accept().unwrap();
}
