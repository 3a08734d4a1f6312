//! [`Stream`]: reading, writing, halves, and what the runtime has to be asked for.

use std::fs;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::net::SendFlags;
use sockeye::ancillary::send_msg;
use sockeye::{BusyPoll, Listener, Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::Place;
use crate::support::serving::in_time;

fn pair() -> (Stream, Stream) {
    Stream::pair().unwrap()
}

#[tokio::test]
async fn vectored_writes_go_out_together() {
    let (mut left, mut right) = pair();
    assert!(left.is_write_vectored());
    let slices = [
        IoSlice::new(b"one "),
        IoSlice::new(b""),
        IoSlice::new(b"two"),
    ];
    assert_eq!(left.write_vectored(&slices).await.unwrap(), 7);
    let mut text = [0; 7];
    right.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"one two");
}

#[tokio::test]
async fn a_half_close_lets_the_other_answer() {
    let (mut left, mut right) = pair();
    left.write_all(b"question").await.unwrap();
    left.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    right.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "question");
    right.write_all(b"answer").await.unwrap();
    drop(right);
    text.clear();
    left.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
    let error = left.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

/// A send that blocks registers the fd anew, for writing too.
#[tokio::test]
async fn a_reader_is_woken_although_a_send_has_blocked_meanwhile() {
    let (left, mut right) = pair();
    let (mut reader, mut writer) = tokio::io::split(left);
    let reading = tokio::spawn(async move {
        let mut byte = [0];
        reader.read_exact(&mut byte).await.unwrap();
        byte[0]
    });
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let sent = tokio::spawn(async move {
        let bytes = vec![b'.'; 1 << 20];
        writer.write_all(&bytes).await.unwrap();
        bytes.len()
    });
    // The socket buffer is full once the first bytes can be read and no more are sent.
    let mut first = [0; 1];
    right.read_exact(&mut first).await.unwrap();
    tokio::task::yield_now().await;
    right.write_all(b"!").await.unwrap();
    assert_eq!(in_time(reading).await.unwrap(), b'!');
    let mut rest = vec![0; (1 << 20) - 1];
    in_time(right.read_exact(&mut rest)).await.unwrap();
    assert_eq!(in_time(sent).await.unwrap(), 1 << 20);
}

#[tokio::test]
async fn what_is_behind_out_of_band_data_is_read_without_waiting() {
    let (left, right) = UnixStream::pair().unwrap();
    let mut left = Stream::from_std(left).unwrap();
    let sends = [
        (b"one", SendFlags::empty()),
        (b"one", SendFlags::OOB),
        (b"two", SendFlags::empty()),
    ];
    for (bytes, flags) in sends {
        rustix::net::send(&right, bytes, flags).unwrap();
    }
    let mut text = [0; 8];
    in_time(left.read_exact(&mut text)).await.unwrap();
    assert_eq!(&text, b"oneontwo");
}

/// Both directions at once, with more than the kernel's buffers hold.
async fn exchange(left: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin), mut right: Stream) {
    const SIZE: usize = 1 << 20;
    let (mut reader, mut writer) = left;
    let echo = async {
        let mut seen = vec![0; SIZE];
        right.read_exact(&mut seen).await.unwrap();
        right.write_all(&seen).await.unwrap();
    };
    let sent: Vec<u8> = (0..SIZE).map(|at| (at / 3) as u8).collect();
    let write = async { writer.write_all(&sent).await.unwrap() };
    let mut came = vec![0; SIZE];
    let read = async { reader.read_exact(&mut came).await.unwrap() };
    tokio::join!(echo, write, read);
    assert!(came == sent);
}

#[tokio::test]
async fn borrowed_halves_work_both_ways() {
    let (mut left, right) = pair();
    exchange(left.split(), right).await;
    assert_eq!(left.peer().unwrap().uid(), sockeye::ids::own_uid());
}

#[tokio::test]
async fn owned_halves_work_both_ways_and_half_close() {
    let (left, right) = pair();
    exchange(left.into_split(), right).await;

    let (left, mut right) = pair();
    let (mut reader, writer) = left.into_split();
    drop(writer);
    assert_eq!(right.read(&mut [0]).await.unwrap(), 0, "half-closed");
    right.write_all(b"x").await.unwrap();
    let mut byte = [0];
    reader.read_exact(&mut byte).await.unwrap();
}

#[tokio::test]
async fn after_shut_rd_the_peer_cannot_send_and_what_came_is_read() {
    let (mut left, mut right) = pair();
    right.write_all(b"before").await.unwrap();
    left.shutdown(Shutdown::Read).unwrap();
    let error = right.write_all(b"after").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut text = String::new();
    left.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "before");
    left.write_all(b"answer").await.unwrap();
    left.shutdown(Shutdown::Write).unwrap();
    text.clear();
    right.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
}

#[tokio::test]
async fn readiness_is_awaited_and_attempts_do_not_wait() {
    let place = Place::new();
    let listener = Listener::from_std(bind(&place)).unwrap();
    let client = UnixStream::connect(place.socket()).unwrap();
    let mut client = Stream::from_std(client).unwrap();
    // One that is not registered with epoll before it waits, and one that is.
    let mut server = listener.accept().await.unwrap();
    fill_and_drain(&mut client, &server).await;
    fill_and_drain(&mut server, &client).await;
}

async fn fill_and_drain(right: &mut Stream, left: &Stream) {
    let mut buffer = [0; 1 << 16];
    let error = left.try_read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let mut sent = 0;
    let error = loop {
        match right.try_write(&buffer) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let drain = async {
        let mut count = 0;
        while count < sent {
            in_time(left.readable()).await.unwrap();
            match left.try_read(&mut buffer) {
                Ok(some) => count += some,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    };
    let ((), writable) = tokio::join!(drain, in_time(right.writable()));
    writable.unwrap();
    assert_eq!(right.try_write(b"x").unwrap(), 1);
    in_time(left.readable()).await.unwrap();
    assert_eq!(left.try_read(&mut buffer).unwrap(), 1);
}

/// Whether some epoll of this process watches the descriptor.
fn is_registered(fd: impl AsFd) -> bool {
    let target = format!("tfd: {:8} ", fd.as_fd().as_raw_fd());
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap();
    infos.flatten().any(|info| {
        // It may have been closed since.
        fs::read_to_string(info.path()).is_ok_and(|text| text.contains(&target))
    })
}

#[tokio::test]
async fn what_needs_no_waiting_needs_no_epoll() {
    let place = Place::new();
    let listener = Listener::from_std(bind(&place)).unwrap();
    let mut client = UnixStream::connect(place.socket()).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();

    let mut server = listener.accept().await.unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).await.unwrap();
    server.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(text, "question");
    assert!(!is_registered(&server));
}

#[tokio::test]
async fn who_is_about_to_send_needs_no_epoll_either() {
    let place = Place::new();
    let listener = Listener::from_std(bind(&place)).unwrap();
    let mut client = UnixStream::connect(place.socket()).unwrap();
    let mut server = listener.accept().await.unwrap();
    for _ in 0..3 {
        let write = async { client.write_all(b"x").unwrap() };
        // Looks first.
        let (byte, ()) = tokio::join!(server.read_u8(), write);
        assert_eq!(byte.unwrap(), b'x');
        assert!(!is_registered(&server));
    }
}

#[tokio::test]
async fn what_has_to_be_waited_for_is_found_by_epoll() {
    let place = Place::new();
    let listener = Listener::from_std(bind(&place)).unwrap();
    let client = UnixStream::connect(place.socket()).unwrap();
    let mut server = listener.accept().await.unwrap();
    for round in 0..3 {
        let mut client = client.try_clone().unwrap();
        let mut byte = [0];
        let read = async {
            server.read_exact(&mut byte).await.unwrap();
        };
        let write = async {
            // After the reader has looked twice.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            client.write_all(&[round]).unwrap();
        };
        in_time(async { tokio::join!(read, write) }).await;
        assert_eq!(byte, [round]);
        assert!(is_registered(&server));
    }
}

#[tokio::test]
async fn others_are_polled_while_there_is_always_something_to_read() {
    const BYTES: usize = 10_000;
    for polls in [false, true] {
        let place = Place::new();
        let listener = Listener::from_std(bind(&place)).unwrap();
        let mut client = UnixStream::connect(place.socket()).unwrap();
        client.write_all(&[0; BYTES]).unwrap();
        let mut server = listener.accept().await.unwrap();
        if polls {
            server.set_busy_poll(BusyPoll::new(Duration::from_secs(1)));
        }
        let other = tokio::spawn(async {});
        let mut count = 0;
        while !other.is_finished() {
            assert!(count < BYTES, "it had to wait until all was read");
            server.read_u8().await.unwrap();
            count += 1;
        }
    }
}

#[tokio::test]
async fn what_comes_behind_descriptors_is_read_at_once() {
    let (mut server, client) = pair();
    // The runtime knows of both at once, and a read ends between them.
    let mut byte = [0; 16];
    for _ in 0..3 {
        send_msg(&client, b"one", &[std::io::stdin().as_fd()]).unwrap();
        send_msg(&client, b"two", &[]).unwrap();
        assert_eq!(in_time(server.read(&mut byte)).await.unwrap(), 3);
        assert_eq!(in_time(server.read(&mut byte)).await.unwrap(), 3);
        assert_eq!(&byte[..3], b"two");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_may_both_be_the_first_to_wait() {
    let place = Place::new();
    let listener = Listener::from_std(bind(&place)).unwrap();
    for _ in 0..500 {
        let client = UnixStream::connect(place.socket()).unwrap();
        let (mut reader, mut writer) = listener.accept().await.unwrap().into_split();
        let sent = tokio::spawn(async move {
            // More than the peer has room for.
            writer.write_all(&[7; 1 << 19]).await.unwrap();
        });
        let came = tokio::spawn(async move { reader.read_u8().await.unwrap() });
        let peer = tokio::task::spawn_blocking(move || {
            let mut client = &client;
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            client.write_all(&[9]).unwrap();
            all
        });
        in_time(sent).await.unwrap();
        assert_eq!(in_time(peer).await.unwrap(), vec![7; 1 << 19]);
        assert_eq!(in_time(came).await.unwrap(), 9);
    }
}

fn bind(place: &Place) -> UnixListener {
    UnixListener::bind(place.socket()).unwrap()
}
