//! Which listeners take descriptors, and how many.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use sockeye::ancillary::{SendError, pass_descriptors, send_msg};
use sockeye::framing::Framing;
use sockeye::server::{Connection, Messages, Server};
use sockeye::{Address, Claim, Connector, Listener, Takeover};
use tokio::io::AsyncReadExt;

use crate::support::Place;
use crate::support::serving::{Running, in_time};

/// Whether this kernel can refuse descriptors (Linux 6.16).
fn can_refuse() -> bool {
    let (left, _right) = UnixStream::pair().unwrap();
    let can = pass_descriptors(&left, true).unwrap();
    if !can {
        println!("skipped: this kernel has no SO_PASSRIGHTS");
    }
    can
}

fn file() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

fn connect(address: &Address) -> UnixStream {
    Connector::new().connect_blocking(address).unwrap()
}

fn send(client: &UnixStream) -> Result<(), SendError> {
    send_msg(client, b"x\n", &[file().as_fd()])
}

#[track_caller]
fn is_refused(client: &UnixStream) {
    assert!(matches!(send(client), Err(SendError::DescriptorsRefused)));
}

/// ResultSender each message with the number of descriptors that came with it.
async fn count(connection: Connection, takes: bool) {
    let mut messages = Messages::new(connection, Framing::Line, 100);
    if takes {
        messages = messages.receive_descriptors();
    }
    while let Ok(Some(_)) = messages.next().await {
        let count = messages.descriptors().len();
        messages.send_raw(&[b'0' + count as u8]).await.unwrap();
    }
}

async fn answer(client: UnixStream) -> (u8, UnixStream) {
    client.set_nonblocking(true).unwrap();
    let mut stream = sockeye::Stream::from_std(client).unwrap();
    let answer = in_time(stream.read_u8()).await.unwrap() - b'0';
    (answer, stream.into_std().unwrap())
}

#[tokio::test]
async fn a_handler_that_asks_gets_what_comes_from_then_on() {
    if !can_refuse() {
        return;
    }
    let place = Place::new();
    let address = place.address();
    let listener = Listener::from_claim(Claim::options().claim(&address).unwrap()).unwrap();
    let server = Running::start(Server::new(), listener, |c| count(c, true));
    let client = connect(&address);
    is_refused(&client);
    std::io::Write::write_all(&mut &client, b"x\n").unwrap();
    let (came, client) = answer(client).await;
    assert_eq!(came, 0);
    send(&client).unwrap();
    let (came, client) = answer(client).await;
    assert_eq!(came, 1);
    drop(client);
    server.stop();
    server.report().await;
}

#[tokio::test]
async fn an_adopted_listener_has_the_setting_that_it_is_given_for_its_backlog_too() {
    for takes in [false, true] {
        if !can_refuse() {
            return;
        }
        let place = Place::new();
        let address = place.address();
        // Somebody else has made it, with the other setting.
        let claim = Claim::options()
            .allow_fd_passing(!takes)
            .claim(&address)
            .unwrap();
        let early = connect(&address);
        if takes {
            is_refused(&early);
            std::io::Write::write_all(&mut &early, b"x\n").unwrap();
        } else {
            send(&early).unwrap();
        }
        let mut listener = Listener::adopt(claim.as_fd().try_clone_to_owned().unwrap()).unwrap();
        listener.allow_fd_passing(takes).unwrap();
        let later = connect(&address);
        if takes {
            send(&later).unwrap();
        } else {
            is_refused(&later);
        }
        let server = Running::start(Server::new(), listener, move |c| count(c, takes));
        // What came before is discarded, or is there.
        let (came, early) = answer(early).await;
        assert_eq!(came, 0);
        if takes {
            assert_eq!(answer(later).await.0, 1);
            send(&early).unwrap();
            assert_eq!(answer(early).await.0, 1);
        } else {
            is_refused(&early);
        }
        server.stop();
        server.report().await;
    }
}

/// Without a server too.
#[tokio::test]
async fn what_an_early_client_passes_to_who_takes_none_is_closed() {
    if !can_refuse() {
        return;
    }
    let place = Place::new();
    let address = place.address();
    let claim = Claim::options()
        .allow_fd_passing(true)
        .claim(&address)
        .unwrap();
    let early = connect(&address);
    send(&early).unwrap();
    let mut listener = Listener::adopt(claim.as_fd().try_clone_to_owned().unwrap()).unwrap();
    listener.allow_fd_passing(false).unwrap();
    let mut stream = in_time(listener.accept()).await.unwrap();
    let mut buffer = [0; 8];
    let received = in_time(stream.recv_msg(&mut buffer)).await.unwrap();
    let received = received.expect("not at the end");
    assert!(received.bytes > 0);
    assert_eq!(received.descriptors.len(), 0);
    is_refused(&early);
}

#[tokio::test]
async fn after_a_takeover_the_setting_is_that_of_the_new_server() {
    for takes in [false, true] {
        if !can_refuse() {
            return;
        }
        let place = Place::new();
        let address = place.address();
        let before = Takeover::new(Claim::options().allow_fd_passing(!takes));
        let listener: Listener = before.listen(&address).await.unwrap();
        let old = Running::start(Server::new(), listener, move |c| count(c, !takes));
        let after = Takeover::new(Claim::options().allow_fd_passing(takes));
        let listener: Listener = in_time(after.listen(&address)).await.unwrap();
        let new = Running::start(Server::new(), listener, move |c| count(c, takes));
        in_time(old.result()).await.unwrap();
        let client = connect(&address);
        if takes {
            send(&client).unwrap();
            assert_eq!(answer(client).await.0, 1);
        } else {
            is_refused(&client);
        }
        new.stop();
        new.report().await;
    }
}
