//! Which message of a stream the descriptors belong to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, fstat, memfd_create};
use sockeye::ancillary::send_msg;
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, Messages, Server};
use sockeye::{Address, Connector};
use tokio::sync::mpsc;

use crate::support::Place;
use crate::support::serving::{Running, claimed, in_time};

/// One write: its bytes and its descriptors, by their numbers.
type Write = (&'static [u8], &'static [usize]);
/// The message that is to come of it.
type Expected = (&'static [u8], &'static [usize]);
/// One message: its payload and its descriptors.
type Came = (Vec<u8>, Vec<u64>);

fn file() -> OwnedFd {
    memfd_create("arrives", MemfdFlags::CLOEXEC).unwrap()
}

fn inode(fd: impl AsFd) -> u64 {
    fstat(fd).unwrap().st_ino
}

/// Tells of each message. Before that it answers as many as are only to warm up.
async fn tell(
    connection: Connection,
    framing: Framing,
    warm_up: usize,
    tell: mpsc::UnboundedSender<Result<Came, FramingError>>,
) {
    let mut messages = Messages::new(connection, framing, 1 << 20).receive_descriptors();
    for _ in 0..warm_up {
        messages.next().await.unwrap().unwrap();
        messages.send_raw(b"!").await.unwrap();
    }
    loop {
        let message = match messages.next().await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(error) => return tell.send(Err(error)).unwrap(),
        };
        let inodes = messages.descriptors().iter().map(inode).collect();
        assert!(messages.descriptors().is_empty(), "only once");
        tell.send(Ok((message.payload.to_vec(), inodes))).unwrap();
    }
}

/// What a server makes of `writes`, which have all been made before it reads any.
async fn came(
    framing: Framing,
    warm_up: usize,
    files: &[OwnedFd],
    writes: &[Write],
) -> Vec<Result<Came, FramingError>> {
    let place = Place::new();
    let address: Address = place.address();
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move |connection| tell(connection, framing, warm_up, told.clone());
    let server = Running::start(Server::new(), claimed(&address), handler);
    let client = Connector::new().connect_blocking(&address).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut client = sockeye::Stream::from_std(client).unwrap();
    for _ in 0..warm_up {
        let message = framing.encode(b"warm").unwrap();
        client.send_msg(&message, &[]).await.unwrap();
        in_time(client.recv_msg(&mut [0])).await.unwrap().unwrap();
    }
    for (bytes, numbers) in writes {
        let files: Vec<BorrowedFd<'_>> = numbers.iter().map(|&at| files[at].as_fd()).collect();
        // No point at which this task could yield to the server's.
        send_msg(&client, bytes, &files).unwrap();
    }
    drop(client);
    server.report().await;
    let mut all = Vec::new();
    while let Some(came) = in_time(tells.recv()).await {
        all.push(came);
    }
    all
}

async fn assert_come(framing: Framing, writes: &[Write], expected: &[(&[u8], &[usize])]) {
    let files: Vec<OwnedFd> = (0..4).map(|_| file()).collect();
    let expected: Vec<Came> = expected
        .iter()
        .map(|(payload, numbers)| {
            let inodes = numbers.iter().map(|&at| inode(&files[at])).collect();
            (payload.to_vec(), inodes)
        })
        .collect();
    // With the first reads, which ask the kernel, and with later ones, which ask the runtime.
    for warm_up in [0, 1, 3] {
        let came = came(framing, warm_up, &files, writes).await;
        let came: Vec<Came> = came.into_iter().map(Result::unwrap).collect();
        assert_eq!(came, expected, "{writes:?} after {warm_up}");
    }
}

#[tokio::test]
async fn lines_keep_their_descriptors() {
    let cases: [(&[Write], &[Expected]); 11] = [
        (&[(b"a\n", &[0])], &[(b"a", &[0])]),
        (
            &[(b"a\n", &[0]), (b"b\n", &[1])],
            &[(b"a", &[0]), (b"b", &[1])],
        ),
        (
            &[(b"a\n", &[]), (b"b\n", &[1])],
            &[(b"a", &[]), (b"b", &[1])],
        ),
        (
            &[(b"a\n", &[0]), (b"b\n", &[])],
            &[(b"a", &[0]), (b"b", &[])],
        ),
        // In pieces.
        (
            &[(b"a", &[0]), (b"b", &[1]), (b"\n", &[2])],
            &[(b"ab", &[0, 1, 2])],
        ),
        (
            &[(b"a", &[0]), (b"b\n", &[]), (b"c\n", &[])],
            &[(b"ab", &[0]), (b"c", &[])],
        ),
        // One read that ends a message which has descriptors, and begins another one that has.
        (
            &[(b"a", &[0]), (b"\n", &[]), (b"b\n", &[1, 2])],
            &[(b"a", &[0]), (b"b", &[1, 2])],
        ),
        (
            &[
                (b"a", &[0]),
                (b"\nb\nc", &[1]),
                (b"c", &[2]),
                (b"\nd\n", &[3]),
            ],
            &[(b"a", &[0]), (b"b", &[]), (b"cc", &[1, 2]), (b"d", &[3])],
        ),
        // One write of several messages.
        (&[(b"a\nb\n", &[0])], &[(b"a", &[]), (b"b", &[0])]),
        // The last line needs no newline.
        (
            &[(b"a\n", &[0]), (b"b", &[1])],
            &[(b"a", &[0]), (b"b", &[1])],
        ),
        (&[(b"\n", &[0]), (b"\n", &[])], &[(b"", &[0]), (b"", &[])]),
    ];
    for (writes, expected) in cases {
        assert_come(Framing::Line, writes, expected).await;
    }
}

#[tokio::test]
async fn length_frames_keep_their_descriptors() {
    let cases: [(&[Write], &[Expected]); 4] = [
        (
            &[(b"\0\0\0\x01a", &[0]), (b"\0\0\0\x01b", &[1])],
            &[(b"a", &[0]), (b"b", &[1])],
        ),
        // With the length field, the payload after it.
        (
            &[
                (b"\0\0\0\x02", &[0]),
                (b"aa", &[]),
                (b"\0\0\0\x02", &[1]),
                (b"bb", &[]),
            ],
            &[(b"aa", &[0]), (b"bb", &[1])],
        ),
        (
            &[(b"\0\0\0\x02", &[]), (b"aa", &[0]), (b"\0\0\0\0", &[1])],
            &[(b"aa", &[0]), (b"", &[1])],
        ),
        (
            &[(b"\0\0", &[0]), (b"\0\x02a", &[1]), (b"a\0\0\0\x01b", &[2])],
            &[(b"aa", &[0, 1]), (b"b", &[2])],
        ),
    ];
    for (writes, expected) in cases {
        assert_come(Framing::Length, writes, expected).await;
    }
}

#[tokio::test]
async fn raw_reads_keep_their_descriptors() {
    let writes: &[Write] = &[(b"a", &[]), (b"b", &[0]), (b"c", &[1, 2]), (b"d", &[])];
    let expected: &[(&[u8], &[usize])] = &[(b"ab", &[0]), (b"c", &[1, 2]), (b"d", &[])];
    assert_come(Framing::Raw, writes, expected).await;
}

#[tokio::test]
async fn a_long_message_has_its_descriptors_wherever_they_came() {
    static LONG: [u8; 50_000] = [b'x'; 50_000];
    let writes: &[Write] = &[(&LONG, &[0]), (&LONG, &[1]), (b"\n", &[2]), (b"b\n", &[3])];
    let line = [LONG, LONG].concat();
    assert_come(Framing::Line, writes, &[(&line, &[0, 1, 2]), (b"b", &[3])]).await;
}

const MANY: [usize; 253] = [0; 253];

#[tokio::test]
async fn each_message_may_have_as_many_as_the_kernel_takes() {
    let files = [file()];
    let writes: &[Write] = &[(b"a", &MANY), (b"\nb\nc", &MANY), (b"\nd\n", &MANY)];
    let came = came(Framing::Line, 0, &files, writes).await;
    let counts = came.into_iter().map(|came| came.unwrap().1.len());
    assert_eq!(counts.collect::<Vec<_>>(), [253, 0, 253, 253]);
}

#[tokio::test]
async fn a_message_in_pieces_has_no_more_either() {
    let files = [file()];
    for writes in [
        &[(&b"a"[..], &MANY[..]), (b"b", &[0]), (b"\n", &[])],
        &[(b"a", &MANY), (b"b\n", &[0]), (b"c\n", &[])],
    ] {
        let came = came(Framing::Line, 0, &files, writes).await;
        let [Err(error)] = &came[..] else {
            panic!("{came:?}");
        };
        assert_eq!(
            error.to_string(),
            "more than 253 descriptors with one message; send several messages"
        );
    }
}

/// Or the client could have the server hold as many as it likes.
#[tokio::test]
async fn a_message_that_never_ends_has_no_more_either() {
    let place = Place::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move |connection| tell(connection, Framing::Line, 0, told.clone());
    let server = Running::start(Server::new(), claimed(&place.address()), handler);
    let client = Connector::new().connect_blocking(&place.address()).unwrap();
    let file = file();
    send_msg(&client, b"a", &[file.as_fd(); 253]).unwrap();
    send_msg(&client, b"b", &[file.as_fd()]).unwrap();
    in_time(tells.recv()).await.unwrap().unwrap_err();
    server.report().await;
}

/// Whoever has not asked for them reads on as if there were none.
#[tokio::test]
async fn descriptors_that_nobody_takes_are_passed_over() {
    let place = Place::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let server = Running::start(
        Server::new(),
        claimed(&place.address()),
        move |connection| {
            let told = told.clone();
            async move {
                let mut messages = Messages::new(connection, Framing::Line, 9);
                while let Some(message) = messages.next().await.unwrap() {
                    told.send((message.payload, messages.descriptors().len()))
                        .unwrap();
                }
            }
        },
    );
    let client = Connector::new().connect_blocking(&place.address()).unwrap();
    let file = file();
    for line in ["a\n", "b\n", "c\n"] {
        send_msg(&client, line.as_bytes(), &[file.as_fd()]).unwrap();
    }
    drop(client);
    for line in ["a", "b", "c"] {
        assert_eq!(in_time(tells.recv()).await.unwrap(), (line.into(), 0));
    }
    server.report().await;
}
