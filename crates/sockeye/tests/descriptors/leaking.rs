//! What cannot be taken is closed. [`alone`] counts.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use sockeye::Kind;
use sockeye::ancillary::{MAX_DESCRIPTORS, RecvError, SendError, recv_msg, send_msg};

use crate::sockets::Pair;
use crate::{alone, borrowed, files, with_room_for};

#[test]
fn descriptors_of_a_record_that_is_too_long_are_closed() {
    alone(|| {
        let files = files(MAX_DESCRIPTORS);
        for mut pair in Pair::of_records() {
            pair.send(b"too long", &borrowed(&files)).unwrap();
            pair.send(b"next", &borrowed(&files[..1])).unwrap();
            let error = pair.recv(&mut [0; 4]).unwrap_err();
            assert!(matches!(error, RecvError::TooLong { size: 8, limit: 4 }));
            let received = pair.recv(&mut [0; 4]).unwrap().unwrap();
            assert_eq!((received.bytes, received.descriptors.len()), (4, 1));
        }
    });
}

#[test]
fn descriptors_that_came_before_the_limit_was_reached_are_closed() {
    alone(|| {
        let files = files(8);
        for mut pair in Pair::all() {
            for room in [0, 1, 7] {
                pair.send(b"bytes", &borrowed(&files)).unwrap();
                let open = crate::open();
                let error = with_room_for(room, || pair.recv(&mut [0; 8]).unwrap_err());
                assert!(matches!(error, RecvError::DescriptorsLost), "{error}");
                crate::all_closed();
                assert_eq!(crate::open(), open);
            }
            pair.send(b"bytes", &borrowed(&files)).unwrap();
            let received = with_room_for(8, || pair.recv(&mut [0; 8]).unwrap().unwrap());
            assert_eq!(received.descriptors.len(), 8);
        }
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_cancelled_receive_takes_no_descriptors() {
    alone(|| {
        let files = files(3);
        for mut pair in Pair::all() {
            pair.give_up_receiving();
            pair.send(b"x", &borrowed(&files)).unwrap();
            let received = pair.recv(&mut [0; 8]).unwrap().unwrap();
            assert_eq!(received.descriptors.len(), 3);
            // And what nobody receives goes with the socket.
            pair.send(b"x", &borrowed(&files)).unwrap();
        }
    });
}

#[test]
fn descriptors_that_a_plain_read_passes_over_are_closed() {
    alone(|| {
        let files = files(3);
        let (left, mut right) = std::os::unix::net::UnixStream::pair().unwrap();
        send_msg(&left, b"x", &borrowed(&files)).unwrap();
        right.read_exact(&mut [0]).unwrap();
        #[cfg(feature = "tokio")]
        crate::sockets::runtime().block_on(async {
            let mut right = sockeye::Stream::from_std(right).unwrap();
            send_msg(&left, b"x", &borrowed(&files)).unwrap();
            let read = tokio::io::AsyncReadExt::read_u8(&mut right);
            assert_eq!(read.await.unwrap(), b'x');
        });
    });
}

/// Has another program set options of a socket, as one could that has handed it to us. `false` (and
/// says so) where it cannot.
fn set_by_another(socket: BorrowedFd<'_>, options: &[i32]) -> bool {
    let program = format!(
        "import socket\ns = socket.socket(fileno=0)\nfor o in {options:?}: s.setsockopt(1, o, 1)"
    );
    let status = Command::new("python3")
        .args(["-c", &program])
        .stdin(Stdio::from(socket.try_clone_to_owned().unwrap()))
        .status();
    match status {
        Ok(status) if status.success() => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let required = std::env::var_os("SOCKEYE_REQUIRE_PEERS").is_some();
            assert!(!required, "python3 is not installed");
            println!("skipped: python3 is not installed");
            false
        }
        _ => {
            println!("skipped: an option is not known here: {options:?}");
            false
        }
    }
}

#[test]
fn descriptors_in_control_messages_that_nobody_asked_for_are_closed() {
    const SO_PASSCRED: i32 = 16;
    const SO_PASSSEC: i32 = 34;
    const SO_PASSPIDFD: i32 = 76;
    alone(|| {
        let files = files(MAX_DESCRIPTORS);
        for options in [
            &[SO_PASSPIDFD][..],
            &[SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD],
        ] {
            for mut pair in Pair::all() {
                if !set_by_another(pair.right(), options) {
                    continue;
                }
                for count in [0, 1, 2, MAX_DESCRIPTORS] {
                    let open = crate::open();
                    pair.send(b"bytes", &borrowed(&files[..count])).unwrap();
                    let received = pair.recv(&mut [0; 8]).unwrap().unwrap();
                    assert_eq!(received.bytes, 5);
                    assert_eq!(received.descriptors.len(), count);
                    drop(received);
                    assert_eq!(crate::open(), open, "{options:?} on {}", pair.kind);
                }
                if pair.kind != Kind::Stream {
                    pair.send(b"", &[]).unwrap();
                    assert_eq!(pair.recv(&mut [0; 8]).unwrap().unwrap().bytes, 0);
                }
                // Without room for the kernel's own either.
                pair.send(b"bytes", &borrowed(&files[..1])).unwrap();
                with_room_for(0, || pair.recv(&mut [0; 8]).unwrap_err());
                if pair.kind != Kind::Datagram {
                    pair.close_left();
                    assert!(pair.recv(&mut [0; 8]).unwrap().is_none());
                }
            }
        }
    });
}

/// unix(7): a user without privileges has no more on the way than its processes may open.
#[test]
fn descriptors_that_are_too_many_in_flight_are_closed() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can become another user");
    }
    const NOBODY: u32 = 65534;
    let as_nobody = || {
        let uid = rustix::fs::Uid::from_raw(NOBODY);
        let gid = rustix::fs::Gid::from_raw(NOBODY);
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
        let files = files(10);
        for mut pair in Pair::all() {
            let error = with_room_for(20, || {
                let mut send = || pair.send(b"x", &borrowed(&files));
                (0..100).find_map(|_| send().err()).unwrap()
            });
            let SendError::Io(error) = error else {
                panic!("{error}");
            };
            assert_eq!(Errno::from_io_error(&error), Some(Errno::TOOMANYREFS));
        }
    };
    alone(|| std::thread::scope(|scope| scope.spawn(as_nobody).join().unwrap()));
}

#[test]
fn descriptors_that_are_received_and_dropped_are_closed() {
    alone(|| {
        let files = files(2);
        for mut pair in Pair::all() {
            pair.send(b"x", &borrowed(&files)).unwrap();
            drop(pair.recv(&mut [0; 8]).unwrap().unwrap());
        }
        // A socket that no type of ours has made.
        let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
        send_msg(&left, b"", &borrowed(&files)).unwrap();
        let received = recv_msg(right.as_fd(), &mut []).unwrap().unwrap();
        assert_eq!(received.descriptors.len(), 2);
    });
}
