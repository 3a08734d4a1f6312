//! A listener that is lent to a server with an accept loop of its own.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};

use sockeye::claim::ClaimErrorKind;
use sockeye::{Claim, Kind, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Place, mode_of};

#[tokio::test]
async fn a_foreign_server_accepts_while_the_path_stays_claimed() {
    let place = Place::new();
    let address = place.address();
    let listener = Listener::open(&address, &Claim::options().mode(0o640)).unwrap();
    let (listener, claim) = listener.lend().unwrap();
    assert_eq!(claim.address(), Some(&address));
    let foreign = tokio::net::UnixListener::from_std(listener).unwrap();
    let mut client = tokio::net::UnixStream::connect(place.socket())
        .await
        .unwrap();
    let (mut accepted, _) = foreign.accept().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    drop(client);
    let mut text = String::new();
    accepted.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    assert_eq!(mode_of(&place.socket()), 0o640);

    // The server has ended, and its owner has not given the path up.
    drop(foreign);
    let error = Claim::options().claim(&address).unwrap_err();
    assert!(
        matches!(error.kind(), ClaimErrorKind::InUse { .. }),
        "{error}"
    );
    drop(claim);
    place.assert_empty();
    let _next = Claim::options().claim(&address).unwrap();
}

#[tokio::test]
async fn a_path_that_is_given_up_first_belongs_to_the_next_one() {
    let place = Place::new();
    let address = place.address();
    let listener = Listener::open(&address, &Claim::options()).unwrap();
    let (foreign, claim) = listener.lend().unwrap();
    let _waiting = UnixStream::connect(place.socket()).unwrap();
    drop(claim);
    place.assert_empty();
    let next = Claim::options().claim(&address).unwrap();
    // Who was in the backlog is still served.
    foreign.accept().unwrap();
    drop(foreign);
    assert_eq!(place.names(), ["app.sock", "app.sock.lock"]);
    drop(next);
}

#[tokio::test]
async fn an_abstract_name_is_free_once_both_are_dropped() {
    let place = Place::new();
    let address = place.abstract_address(Kind::Stream);
    let listener = Listener::open(&address, &Claim::options()).unwrap();
    let (foreign, claim) = listener.lend().unwrap();
    drop(foreign);
    let error = Claim::options().claim(&address).unwrap_err();
    assert!(
        matches!(error.kind(), ClaimErrorKind::InUse { .. }),
        "{error}"
    );
    drop(claim);
    let _next = Claim::options().claim(&address).unwrap();
}

#[tokio::test]
async fn nothing_of_an_adopted_listener_is_removed() {
    let place = Place::new();
    let theirs = UnixListener::bind(place.socket()).unwrap();
    let adopted = Listener::from_std(theirs.try_clone().unwrap()).unwrap();
    let (lent, claim) = adopted.lend().unwrap();
    assert_eq!(claim.address(), Some(&place.address()));
    drop((lent, claim));
    assert_eq!(place.names(), ["app.sock"]);
    let _client = UnixStream::connect(place.socket()).unwrap();
}

#[tokio::test]
async fn a_claim_that_allows_a_takeover_is_not_lent() {
    let place = Place::new();
    let listener = Listener::open(&place.address(), &Claim::options().takeover(true)).unwrap();
    let error = listener.lend().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("app.sock"), "{error}");
    assert!(error.to_string().contains("takeover"), "{error}");
    place.assert_empty();
}
