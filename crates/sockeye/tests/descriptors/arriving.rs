//! What is sent arrives.

use std::io;
use std::os::fd::AsFd;

use rustix::io::{FdFlags, fcntl_getfd};
use sockeye::Kind;
use sockeye::ancillary::{MAX_DESCRIPTORS, SendError, pass_credentials};

use crate::sockets::Pair;
use crate::{alone, borrowed, files};

#[test]
fn each_number_of_descriptors_arrives() {
    alone(|| {
        let files = files(MAX_DESCRIPTORS);
        let files = borrowed(&files);
        for mut pair in Pair::all() {
            for count in 0..=files.len() {
                pair.send(b"bytes", &files[..count]).unwrap();
                let mut buffer = [0; 8];
                let received = pair.recv(&mut buffer).unwrap().unwrap();
                assert_eq!(&buffer[..received.bytes], b"bytes");
                assert_eq!(received.descriptors.len(), count, "{}", pair.kind);
            }
            assert!(!pair.has_something());
        }
    });
}

#[test]
fn descriptors_are_the_same_files_in_the_same_order_and_close_on_exec() {
    alone(|| {
        let files = files(MAX_DESCRIPTORS);
        for mut pair in Pair::all() {
            pair.send(b"x", &borrowed(&files)).unwrap();
            let received = pair.recv(&mut [0; 8]).unwrap().unwrap();
            for (at, (theirs, ours)) in files.iter().zip(&received.descriptors).enumerate() {
                let inode = |fd| rustix::fs::fstat(fd).unwrap().st_ino;
                assert_eq!(inode(theirs), inode(ours));
                // The position belongs to what was opened, not to the descriptor.
                assert_eq!(rustix::fs::tell(ours).unwrap(), at as u64);
                rustix::fs::seek(ours, rustix::fs::SeekFrom::Current(1000)).unwrap();
                assert_eq!(rustix::fs::tell(theirs).unwrap(), at as u64 + 1000);
                rustix::fs::seek(ours, rustix::fs::SeekFrom::Current(-1000)).unwrap();
                assert!(fcntl_getfd(ours).unwrap().contains(FdFlags::CLOEXEC));
            }
        }
    });
}

#[test]
fn one_descriptor_too_many_is_an_error_before_anything_is_sent() {
    alone(|| {
        let files = files(MAX_DESCRIPTORS + 1);
        for mut pair in Pair::all() {
            let error = pair.send(b"x", &borrowed(&files)).unwrap_err();
            assert!(matches!(error, SendError::TooManyDescriptors(254)));
            assert_eq!(
                io::Error::from(error).to_string(),
                "254 descriptors, and a message takes 253; send several messages"
            );
            assert!(!pair.has_something());
        }
    });
}

#[test]
fn a_stream_carries_descriptors_only_with_a_byte_and_a_record_without() {
    alone(|| {
        let files = files(3);
        for mut pair in Pair::all() {
            let sent = pair.send(b"", &borrowed(&files));
            if pair.kind == Kind::Stream {
                assert!(matches!(sent.unwrap_err(), SendError::NoBytes));
                assert!(!pair.has_something());
            } else {
                sent.unwrap();
                let received = pair.recv(&mut []).unwrap().unwrap();
                assert_eq!((received.bytes, received.descriptors.len()), (0, 3));
            }
        }
    });
}

/// The kernel does not read on beyond a write that had descriptors, but puts earlier ones in front.
#[test]
fn a_stream_brings_descriptors_with_the_last_of_the_bytes() {
    alone(|| {
        let files = files(3);
        let files = borrowed(&files);
        for mut pair in Pair::all()
            .into_iter()
            .filter(|pair| pair.kind == Kind::Stream)
        {
            for (bytes, files) in [
                ("a", &[][..]),
                ("b", &files[..1]),
                ("c", &files[..2]),
                ("d", &[]),
            ] {
                pair.send(bytes.as_bytes(), files).unwrap();
            }
            let mut buffer = [0; 8];
            for (bytes, count) in [("ab", 1), ("c", 2), ("d", 0)] {
                let received = pair.recv(&mut buffer).unwrap().unwrap();
                assert_eq!(&buffer[..received.bytes], bytes.as_bytes());
                assert_eq!(received.descriptors.len(), count);
            }
        }
    });
}

/// More than the kernel takes at once: they go with the first piece.
#[test]
fn a_large_write_bears_its_descriptors_once() {
    alone(|| {
        let files = files(2);
        let (mut left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        let bytes = vec![7; 3 << 20];
        let came = std::thread::scope(|scope| {
            scope.spawn(|| {
                sockeye::ancillary::send_msg(&left, &bytes, &borrowed(&files)).unwrap();
            });
            let mut came = Vec::new();
            let mut buffer = vec![0; 1 << 16];
            let mut bytes = 0;
            while bytes < 3 << 20 {
                let received = sockeye::ancillary::recv_msg(&right, &mut buffer);
                let received = received.unwrap().unwrap();
                bytes += received.bytes;
                if !received.descriptors.is_empty() {
                    came.push(received.descriptors.len());
                }
            }
            came
        });
        assert_eq!(came, [2]);
        io::Write::flush(&mut left).unwrap();
    });
}

#[test]
fn credentials_come_with_a_message_and_eof_is_still_eof() {
    alone(|| {
        for mut pair in Pair::all() {
            pair.send(b"before", &[]).unwrap();
            pass_credentials(pair.right(), true).unwrap();
            pair.send(b"after", &[]).unwrap();
            let mut buffer = [0; 6];
            let received = pair.recv(&mut buffer).unwrap().unwrap();
            assert_eq!(&buffer, b"before");
            assert!(received.credentials.is_none(), "{received:?}");
            let received = pair.recv(&mut buffer).unwrap().unwrap();
            assert_eq!(received.bytes, 5);
            let sender = received.credentials.unwrap();
            assert_eq!(sender.uid(), sockeye::ids::own_uid());
            assert_eq!(sender.pid(), Some(rustix::process::getpid()));
            if pair.kind != Kind::Datagram {
                pair.close_left();
                assert!(pair.recv(&mut buffer).unwrap().is_none());
            }
        }
    });
}

/// A socket that asks for credentials gets a name when it sends, and only that.
#[test]
fn asking_for_credentials_names_the_one_that_asks() {
    alone(|| {
        let new = || {
            use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
            let flags = SocketFlags::CLOEXEC;
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).unwrap()
        };
        let server = sockeye::packet::BlockingDatagram::unclaimed().unwrap();
        pass_credentials(&server, true).unwrap();
        let name = rustix::net::getsockname(&server).unwrap();
        for asks in [false, true] {
            let client = new();
            pass_credentials(client.as_fd(), asks).unwrap();
            rustix::net::connect(&client, &name).unwrap();
            sockeye::ancillary::send_msg(&client, b"x", &[]).unwrap();
            let received = server.recv_msg(&mut [0]).unwrap().unwrap();
            assert_eq!(received.sender.is_some(), asks);
            assert!(received.credentials.is_some());
        }
    });
}
