//! What was at the path before.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use sockeye::claim::{ClaimErrorKind, Probe, probe};
use sockeye::{Claim, IfExists, Kind};

use super::denied;
use crate::support::{
    NOBODY, Place, as_nobody, bound, fill_backlog, identity, in_own_network, is_root, leave_stale,
    listening, mode_of, set_mode, skipped,
};

const KINDS: [Kind; 3] = [Kind::Stream, Kind::SeqPacket, Kind::Datagram];

#[test]
fn a_stale_socket_is_replaced() {
    for dead in KINDS {
        for kind in KINDS {
            let place = Place::new();
            drop(bound(dead, &place.socket()));
            let before = identity(&place.socket());
            assert_eq!(probe(&place.address()), Probe::Stale);
            let claim = Claim::options().claim(&place.address_of(kind)).unwrap();
            assert_ne!(identity(&place.socket()), before);
            if kind == Kind::Stream {
                UnixStream::connect(place.socket()).unwrap();
            }
            drop(claim);
            place.assert_empty();
        }
    }
}

#[test]
fn a_stale_socket_stays_where_asked_to_fail() {
    let place = Place::new();
    leave_stale(&place.socket());
    let before = identity(&place.socket());
    let options = Claim::options().if_exists(IfExists::Fail);
    let error = options.claim(&place.address()).unwrap_err();
    assert_eq!(error.kind(), &ClaimErrorKind::Stale);
    assert_eq!(identity(&place.socket()), before);
    assert_eq!(place.names(), ["app.sock"]);

    fs::remove_file(place.socket()).unwrap();
    drop(options.claim(&place.address()).unwrap());
}

#[test]
fn a_live_server_that_knows_nothing_of_locks_stays() {
    let me = Some(rustix::process::getpid());
    for listens in [false, true] {
        for kind in KINDS {
            if listens && kind == Kind::Datagram {
                continue;
            }
            let place = Place::new();
            let socket = if listens {
                listening(kind, &place.socket(), 5)
            } else {
                bound(kind, &place.socket())
            };
            let before = identity(&place.socket());
            assert_eq!(denied(&place.address()), ClaimErrorKind::InUse { pid: me });
            assert_eq!(probe(&place.address()), Probe::Live { pid: me }, "{kind}");
            assert_eq!(identity(&place.socket()), before);
            assert_eq!(place.names(), ["app.sock"]);
            if listens {
                rustix::io::ioctl_fionbio(&socket, true).unwrap();
                let noise = accept_with(&socket, SocketFlags::CLOEXEC);
                assert_eq!(noise.unwrap_err(), Errno::AGAIN, "it noticed nothing");
            }
        }
    }
}

#[test]
fn a_live_server_with_a_full_backlog_stays() {
    let place = Place::new();
    let _server = listening(Kind::Stream, &place.socket(), 0);
    let _clients = fill_backlog(Kind::Stream, &place.socket());
    let me = Some(rustix::process::getpid());
    assert_eq!(denied(&place.address()), ClaimErrorKind::InUse { pid: me });
}

/// The kernel's table shows one network namespace only; a socket file can be reached from all.
#[test]
fn a_live_server_of_another_network_namespace_stays() {
    let place = Place::new();
    for kind in KINDS {
        let path = place.at(kind.prefix());
        let address = sockeye::Address::from_path(&path).unwrap();
        let made = in_own_network(|| match kind {
            Kind::Datagram => bound(kind, &path),
            _ => listening(kind, &path, 5),
        });
        let Some(server) = made else { return };
        let before = identity(&path);
        assert!(
            matches!(denied(&address), ClaimErrorKind::InUse { .. }),
            "{kind}"
        );
        assert_eq!(identity(&path), before);
        drop(server);
        drop(Claim::options().claim(&address).unwrap());
    }
    place.assert_empty();
}

/// Nobody may look into the other namespace, nor into its processes; the kernel tells all the same.
#[test]
fn whoever_may_write_a_file_knows_whether_a_socket_is_bound_to_it() {
    let place = Place::new();
    place.open_to_all();
    for kind in KINDS {
        for state in ["dead", "bound", "listening", "full"] {
            if kind == Kind::Datagram && state != "dead" && state != "bound" {
                continue;
            }
            let path = place.at(format!("{kind} {state}"));
            let made = in_own_network(|| match state {
                "dead" => {
                    drop(bound(kind, &path));
                    None
                }
                "bound" => Some(bound(kind, &path)),
                _ => Some(listening(kind, &path, 0)),
            });
            let Some(server) = made else { return };
            let clients = match state {
                "full" => fill_backlog(kind, &path),
                _ => Vec::new(),
            };
            set_mode(&path, 0o666);
            let address = sockeye::Address::from_path(&path).unwrap();
            let Some(found) = as_nobody(|| probe(&address)) else {
                return;
            };
            match state {
                "dead" => assert_eq!(found, Probe::Stale, "{kind}"),
                _ => assert!(
                    matches!(found, Probe::Live { .. }),
                    "{kind} {state}: {found:?}"
                ),
            }
            if let ("listening", Some(server)) = (state, &server) {
                rustix::io::ioctl_fionbio(server, true).unwrap();
                let visit = accept_with(server, SocketFlags::CLOEXEC);
                assert_eq!(visit.unwrap_err(), Errno::AGAIN, "it noticed nothing");
            }
            drop(clients);
        }
    }
}

/// The kernel marks it as connected when somebody has connected to it, and it goes on to receive.
#[test]
fn a_datagram_server_receives_after_it_was_asked() {
    let place = Place::new();
    let made = in_own_network(|| bound(Kind::Datagram, &place.socket()));
    let Some(server) = made else { return };
    let server = std::os::unix::net::UnixDatagram::from(server);
    for round in 0..3 {
        assert!(matches!(probe(&place.address()), Probe::Live { .. }));
        let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
        client.send_to(&[round], place.socket()).unwrap();
        let mut byte = [0];
        assert_eq!(server.recv(&mut byte).unwrap(), 1);
        assert_eq!(byte, [round]);
    }
}

#[test]
fn what_is_not_a_socket_stays() {
    let place = Place::new();
    fs::write(place.at("file"), "data").unwrap();
    fs::write(place.at("empty"), "").unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    let mode = Mode::from_raw_mode(0o644);
    mknodat(CWD, place.at("fifo"), FileType::Fifo, mode, 0).unwrap();
    let mut all = vec![
        ("file", FileType::RegularFile),
        ("empty", FileType::RegularFile),
        ("dir", FileType::Directory),
        ("fifo", FileType::Fifo),
    ];
    let null = makedev(1, 3);
    match mknodat(CWD, place.at("null"), FileType::CharacterDevice, mode, null) {
        Ok(()) => all.push(("null", FileType::CharacterDevice)),
        Err(errno) => skipped(&format!("a character device: {errno}")),
    }
    for (name, file) in all {
        let address = sockeye::Address::from_path(place.at(name)).unwrap();
        let before = identity(&place.at(name));
        let names = place.names();
        assert_eq!(denied(&address), ClaimErrorKind::NotASocket(file));
        assert_eq!(identity(&place.at(name)), before, "{name}");
        assert_eq!(place.names(), names, "{name}");
    }
    assert_eq!(fs::read(place.at("file")).unwrap(), b"data");
}

#[test]
fn a_symbolic_link_is_neither_followed_nor_removed() {
    let place = Place::new();
    let live = place.at("live");
    let _server = UnixListener::bind(&live).unwrap();
    leave_stale(&place.at("stale"));
    fs::write(place.at("file"), "data").unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    for target in ["live", "stale", "file", "dir", "nothing"] {
        symlink(place.at(target), place.socket()).unwrap();
        let (link, aim) = (identity(&place.socket()), identity(&place.at(target)));
        let names = place.names();
        assert_eq!(
            denied(&place.address()),
            ClaimErrorKind::NotASocket(FileType::Symlink)
        );
        assert_eq!(identity(&place.socket()), link, "{target}");
        assert_eq!(identity(&place.at(target)), aim, "{target}");
        assert_eq!(place.names(), names);
        fs::remove_file(place.socket()).unwrap();
    }
}

/// We may not connect to it, and without that there is no proof.
#[test]
fn a_socket_that_may_not_be_asked_stays() {
    let place = Place::new();
    leave_stale(&place.socket());
    set_mode(&place.socket(), 0o600);
    set_mode(place.dir(), 0o777);
    let before = identity(&place.socket());
    let found = as_nobody(|| denied(&place.address()));
    assert!(
        matches!(found, None | Some(ClaimErrorKind::Unclear)),
        "{found:?}"
    );
    assert_eq!(identity(&place.socket()), before);
    assert_eq!(place.names(), ["app.sock"]);
}

#[test]
fn a_probe_changes_nothing() {
    let place = Place::new();
    assert_eq!(probe(&place.address()), Probe::Absent);
    place.assert_empty();
    leave_stale(&place.socket());
    let before = identity(&place.socket());
    assert_eq!(probe(&place.address()), Probe::Stale);
    assert_eq!(identity(&place.socket()), before);
    assert_eq!(place.names(), ["app.sock"]);
}

/// connect(2) takes write permission, and only the owner may give that to the owner.
#[test]
fn a_dead_file_that_its_owner_may_not_write_is_replaced_by_its_owner_alone() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    for mode in [0o400, 0o440, 0o000] {
        for kind in KINDS {
            let place = Place::new();
            set_mode(place.dir(), 0o777);
            let (path, address) = (place.socket(), place.address_of(kind));
            let leave = |owner| {
                drop(bound(kind, &path));
                chown(&path, Some(owner), Some(owner)).unwrap();
                set_mode(&path, mode);
            };
            let options = Claim::options().mode(mode);
            leave(0);
            let before = identity(&path);
            let found = as_nobody(|| denied(&address)).unwrap();
            assert_eq!(found, ClaimErrorKind::Unclear, "{mode:o} {kind}");
            assert_eq!((identity(&path), mode_of(&path)), (before, mode));
            fs::remove_file(&path).unwrap();

            leave(NOBODY);
            as_nobody(|| {
                let fail = options.clone().if_exists(IfExists::Fail);
                let error = fail.claim(&address).unwrap_err();
                assert_eq!(error.kind(), &ClaimErrorKind::Stale, "{mode:o} {kind}");
                assert_eq!(mode_of(&path), mode, "as it was");
                let before = identity(&path);
                let claim = options.claim(&address).unwrap();
                assert_ne!(identity(&path), before, "{mode:o} {kind}");
                drop(claim);
            });
            place.assert_empty();
        }
    }
}

#[test]
fn a_live_server_of_another_network_namespace_keeps_a_file_that_its_owner_may_not_write() {
    for kind in KINDS {
        let place = Place::new();
        set_mode(place.dir(), 0o777);
        let path = place.socket();
        let server = in_own_network(|| match kind {
            Kind::Datagram => bound(kind, &path),
            _ => listening(kind, &path, 5),
        });
        let Some(server) = server else { return };
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        set_mode(&path, 0o400);
        let inode = fs::symlink_metadata(&path).unwrap().ino();
        let address = place.address_of(kind);
        let found = as_nobody(|| denied(&address)).unwrap();
        assert_eq!(found, ClaimErrorKind::InUse { pid: None }, "{kind}");
        let now = fs::symlink_metadata(&path).unwrap().ino();
        assert_eq!((now, mode_of(&path)), (inode, 0o400));
        drop(server);
    }
}
