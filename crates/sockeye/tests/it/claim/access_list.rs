//! Directories with a default access control list (acl(5)): the mode is the whole truth all the same.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use sockeye::{Claim, Kind, Name};

use crate::support::{
    NOBODY, as_nobody, assert_no_list, is_root, listed_place, mode_of, skipped, with_umask,
};

fn connect_to(kind: Kind, path: &Path) -> Result<(), Errno> {
    let socket_type = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
        Kind::Datagram => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, socket_type, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

#[test]
fn a_default_list_leaves_no_trace_on_any_file_of_ours() {
    let long = "n".repeat(200);
    for name in ["app.sock", &long] {
        for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
            for mode in [0o600, 0o660, 0o666, 0o070] {
                let Some(place) = listed_place() else { return };
                let path = place.at(name);
                let address = sockeye::Address::new(kind, &Name::Path(path.clone())).unwrap();
                let options = Claim::options().mode(mode).takeover(kind != Kind::Datagram);
                let claim = options.claim(&address).unwrap();
                assert_eq!(mode_of(&path), mode);
                for file in place.names() {
                    assert_no_list(&place.at(file));
                }
                drop(claim);
                place.assert_empty();
            }
        }
    }
}

#[test]
fn the_group_of_the_mode_gets_in_and_a_listed_user_does_not() {
    if !is_root() {
        return skipped("only root can give a file away");
    }
    for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        let Some(place) = listed_place() else { return };
        for (gid, outcome) in [(None, Err(Errno::ACCESS)), (Some(NOBODY), Ok(()))] {
            let options = Claim::options().mode(0o660).owner(None, gid);
            let _claim = options.claim(&place.address_of(kind)).unwrap();
            let tried = as_nobody(|| connect_to(kind, &place.socket()));
            assert_eq!(tried, Some(outcome), "{kind} {gid:?}");
        }
    }
}

#[test]
fn at_no_instant_does_a_listed_user_get_in() {
    const ROUNDS: usize = 200;
    if !is_root() {
        return skipped("only root can become another user");
    }
    for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        // With another group, and without.
        for gid in [None, Some(1)] {
            let Some(place) = listed_place() else { return };
            let address = place.address_of(kind);
            let path = place.socket();
            let (ends, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
            let options = Claim::options().mode(0o660).owner(None, gid);
            let got_in = thread::scope(|scope| {
                let listed = scope.spawn(|| {
                    as_nobody(|| {
                        let mut got_in = 0;
                        while !ends.load(Ordering::Relaxed) {
                            match connect_to(kind, &path) {
                                Ok(()) => got_in += 1,
                                Err(Errno::ACCESS) => {
                                    refused.fetch_add(1, Ordering::Relaxed);
                                }
                                Err(_) => {}
                            }
                        }
                        got_in
                    })
                });
                // One that takes nothing away.
                with_umask(0, || {
                    for _ in 0..ROUNDS {
                        let claim = options.claim(&address).unwrap();
                        // It has begun to try.
                        while refused.load(Ordering::Relaxed) == 0 && !listed.is_finished() {
                            thread::yield_now();
                        }
                        drop(claim);
                    }
                });
                ends.store(true, Ordering::Relaxed);
                listed.join().unwrap().unwrap()
            });
            assert_eq!(got_in, 0, "{kind} {gid:?}, refused {refused:?} times");
        }
    }
}
