//! Readiness of a [`Stream`], attempts that do not wait, and the names of its ends.

use std::io::{ErrorKind, IoSlice};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;

use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketType, bind, connect, recv, socket,
};
use sockeye::{Connector, Kind, Listener, Stream};
use tokio::io::Interest;
use tokio::task::yield_now;

use crate::support::Place;
use crate::support::serving::in_time;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn fill(stream: &Stream) -> usize {
    let mut sent = 0;
    loop {
        match stream.try_write(&[7; 1 << 14]) {
            Ok(count) => sent += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return sent;
            }
        }
    }
}

fn read_all(stream: &Stream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match stream.try_read_buf(&mut all) {
            Ok(0) => return all,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return all;
            }
        }
    }
}

#[tokio::test]
async fn one_wait_is_for_both_directions() {
    let (mut left, right) = Stream::pair().unwrap();
    let ready = in_time(left.ready(BOTH)).await.unwrap();
    assert!(ready.is_writable() && !ready.is_readable());
    let sent = fill(&left);
    let (ready, written) = tokio::join!(in_time(left.ready(BOTH)), async {
        yield_now().await;
        right.try_write(b"x")
    });
    assert_eq!(written.unwrap(), 1);
    let ready = ready.unwrap();
    assert!(ready.is_readable() && !ready.is_writable());
    assert_eq!(read_all(&left), b"x");
    let (ready, came) = tokio::join!(in_time(left.ready(BOTH)), async {
        yield_now().await;
        read_all(&right)
    });
    let ready = ready.unwrap();
    assert!(ready.is_writable() && !ready.is_readable());
    assert_eq!(came.len(), sent);
}

#[tokio::test]
async fn a_peer_that_has_closed_is_reported_before_what_it_sent_is_read() {
    let (mut left, right) = Stream::pair().unwrap();
    right.try_write(b"last").unwrap();
    let ready = in_time(left.ready(Interest::READABLE)).await.unwrap();
    assert!(ready.is_readable() && !ready.is_read_closed());
    drop(right);
    let closed = async {
        while !left.ready(Interest::READABLE).await?.is_read_closed() {
            yield_now().await;
        }
        std::io::Result::Ok(())
    };
    in_time(closed).await.unwrap();
    assert_eq!(read_all(&left), b"last");
}

#[tokio::test]
async fn attempts_send_several_slices_and_fill_the_room_of_a_buffer() {
    let (left, right) = Stream::pair().unwrap();
    let slices = [IoSlice::new(b"one "), IoSlice::new(b"two ")];
    assert_eq!(left.try_write_vectored(&slices).unwrap(), 8);
    let (left_reader, left_writer) = left.into_split();
    assert_eq!(left_writer.try_write_vectored(&slices).unwrap(), 8);
    let mut text = b"zero ".to_vec();
    text.reserve_exact(12);
    assert_eq!(right.try_read_buf(&mut text).unwrap(), 12);
    assert_eq!(text, b"zero one two one ");
    text.clear();
    assert_eq!(right.try_read_buf(&mut text).unwrap(), 4);
    let error = right.try_read_buf(&mut text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(text, b"two ");
    right.try_write(b"three").unwrap();
    assert_eq!(left_reader.try_read_buf(&mut text).unwrap(), 5);
    assert_eq!(text, b"two three");
    drop((left_reader, left_writer));
    assert_eq!(right.try_read_buf(&mut text).unwrap(), 0, "EOF");
}

#[tokio::test]
async fn an_attempt_of_ones_own_that_would_block_makes_the_next_wait_sleep() {
    let (left, right) = Stream::pair().unwrap();
    let attempt = || {
        let take = |byte: &mut [u8]| Ok(recv(&left, byte, RecvFlags::DONTWAIT)?);
        left.try_io(Interest::READABLE, || take(&mut [0]))
    };
    for _ in 0..3 {
        right.try_write(b"x").unwrap();
        in_time(left.readable()).await.unwrap();
        assert_eq!(attempt().unwrap(), (1, 1));
        assert_eq!(attempt().unwrap_err().kind(), ErrorKind::WouldBlock);
        tokio::select! {
            biased;
            _ = left.readable() => panic!("nothing is queued"),
            () = yield_now() => {}
        }
    }
}

#[tokio::test]
async fn both_ends_tell_the_names_that_they_are_bound_to() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let listener = Listener::from_std(listener).unwrap();
    let address = place.address_of(Kind::Stream);
    let client = in_time(Connector::new().connect(&address)).await.unwrap();
    let server = in_time(listener.accept()).await.unwrap();
    let name = |address: std::io::Result<std::os::unix::net::SocketAddr>| {
        address.unwrap().as_pathname().map(ToOwned::to_owned)
    };
    assert_eq!(name(client.peer_addr()), Some(place.socket()));
    assert_eq!(name(client.local_addr()), None);
    assert_eq!(name(server.local_addr()), Some(place.socket()));
    assert_eq!(name(server.peer_addr()), None);
    assert!(server.peer_addr().unwrap().is_unnamed());
}

#[tokio::test]
async fn the_name_of_a_client_is_told_as_std_tells_it() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let listener = Listener::from_std(listener).unwrap();
    let longest = "x".repeat(107 - place.dir().as_os_str().len() - 1);
    let hidden = [place.dir().as_os_str().as_encoded_bytes(), b"\0\xff"].concat();
    for bound in [
        SocketAddrUnix::new(place.at("client")).unwrap(),
        SocketAddrUnix::new(place.at(longest)).unwrap(),
        SocketAddrUnix::new_abstract_name(&hidden).unwrap(),
        SocketAddrUnix::new_unnamed(),
    ] {
        let client = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&client, &bound).unwrap();
        connect(&client, &SocketAddrUnix::new(place.socket()).unwrap()).unwrap();
        let server = in_time(listener.accept()).await.unwrap();
        let ours = server.peer_addr().unwrap();
        let theirs = server.into_std().unwrap().peer_addr().unwrap();
        assert_eq!(ours.as_pathname(), theirs.as_pathname());
        assert_eq!(ours.as_abstract_name(), theirs.as_abstract_name());
        assert_eq!(ours.is_unnamed(), theirs.is_unnamed());
    }
}
