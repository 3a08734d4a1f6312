//! Whatever bytes and fds are sent, all of them come or none, and no fd is left open.
#![no_main]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sockeye::ancillary::{MAX_DESCRIPTORS, RecvError, pass_credentials, recv_msg, send_msg};
use sockeye::packet::BlockingSeqPacket;

static NULL: LazyLock<File> = LazyLock::new(|| File::open("/dev/null").expect("it is there"));

fn next_fd() -> i32 {
    NULL.try_clone().expect("a number is free").as_raw_fd()
}

libfuzzer_sys::fuzz_target!(|input: (bool, Vec<(u8, u16)>, u16, bool)| {
    let (is_stream, messages, room, credentials) = input;
    LazyLock::force(&NULL);
    let before = next_fd();
    {
        let (left, right): (Box<dyn AsFd>, Box<dyn AsFd>) = if is_stream {
            let (left, right) = std::os::unix::net::UnixStream::pair().expect("a pair");
            (Box::new(left), Box::new(right))
        } else {
            let (left, right) = BlockingSeqPacket::pair().expect("a pair");
            (Box::new(left), Box::new(right))
        };
        for socket in [&left, &right] {
            pass_credentials(socket.as_fd(), credentials).expect("it is a UNIX socket");
        }
        let mut sent = 0;
        for (fds, bytes) in messages.into_iter().take(4) {
            let fds = vec![NULL.as_fd(); usize::from(fds)];
            // All of them fit into the send buffer: nobody reads yet.
            if send_msg(left.as_fd(), &vec![0; usize::from(bytes / 2)], &fds).is_ok() {
                sent += fds.len();
            }
        }
        drop(left);
        let mut buffer = vec![0; usize::from(room)];
        let mut came = 0;
        let mut lost = false;
        // A stream looks ended without room.
        while !(is_stream && room == 0) {
            match recv_msg(right.as_fd(), &mut buffer) {
                Ok(None) => break,
                Ok(Some(received)) => {
                    assert!(received.bytes <= usize::from(room));
                    assert!(received.descriptors.len() <= MAX_DESCRIPTORS);
                    came += received.descriptors.len();
                }
                Err(RecvError::TooLong { .. }) => lost = true,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(
            came == sent || lost || (is_stream && room == 0),
            "{came} of {sent}"
        );
    }
    // A thread of its own closes what was not handed out.
    let end = Instant::now() + Duration::from_secs(10);
    while next_fd() != before {
        assert!(Instant::now() < end, "no fd is left open");
        std::thread::yield_now();
    }
});
