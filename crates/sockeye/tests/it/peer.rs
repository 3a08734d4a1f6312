//! [`Peer`]: what the unit tests cannot show, since there both ends are one user.

use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use sockeye::peer::{self, Peer, PeerPidfd};
use sockeye::{Claim, Connector, ids};

use crate::support::{NOBODY, Place, as_nobody};

#[test]
fn a_peer_of_another_user_is_seen_as_such() {
    let place = Place::new();
    place.open_to_all();
    let claim = Claim::options()
        .mode(0o666)
        .claim(&place.address())
        .unwrap();
    let listener = claim.into_blocking().unwrap();
    let connected = as_nobody(|| {
        let client = UnixStream::connect(place.socket()).unwrap();
        assert_eq!(Peer::of(&client).unwrap().uid(), Some(0), "the server");
        client
    });
    let Some(client) = connected else { return };
    let (server, _) = listener.accept().unwrap();
    let peer = Peer::of(&server).unwrap();
    assert_eq!((peer.uid(), peer.gid()), (Some(NOBODY), Some(NOBODY)));
    assert_eq!(peer::groups(&server).unwrap(), Vec::<u32>::new());
    let pid = getpid().as_raw_pid();
    assert_eq!(peer.to_string(), format!("pid {pid} uid {NOBODY}"));

    // The answer is frozen, whoever asks and whether or not the other end is there.
    drop(client);
    assert_eq!(Peer::of(&server).unwrap(), peer);
    let found = peer::pidfd(&server).unwrap();
    assert!(!matches!(found, PeerPidfd::Gone), "this process is alive");
}

#[test]
fn the_client_sees_who_listens() {
    let place = Place::new();
    let _claim = Claim::options().claim(&place.address()).unwrap();
    let client = Connector::new().connect_blocking(&place.address()).unwrap();
    let peer = Peer::of(&client).unwrap();
    assert_eq!(peer.uid(), ids::own_uid());
    assert_eq!(peer.pid(), Some(getpid()));
}

#[test]
fn the_groups_of_a_process_are_known_as_long_as_it_runs() {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let (left, _right) = UnixStream::pair().unwrap();
    let this = Peer::of(&left).unwrap();
    let groups = rustix::process::getgroups().unwrap();
    let groups: Vec<u32> = groups
        .iter()
        .filter_map(|gid| ids::gid(gid.as_raw()))
        .collect();
    assert_eq!(peer::groups_of_process(&own, &this).unwrap(), groups);

    let mut child = Command::new("true").spawn().unwrap();
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    child.wait().unwrap();
    let error = peer::groups_of_process(&ended, &this).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::SRCH));
}

#[test]
fn a_process_that_has_become_another_user_does_not_tell_of_a_sender() {
    let place = Place::new();
    place.open_to_all();
    let listener = Claim::options().mode(0o666).claim(&place.address());
    let listener = listener.unwrap().into_blocking().unwrap();
    let Some(_client) = as_nobody(|| UnixStream::connect(place.socket()).unwrap()) else {
        return;
    };
    let nobody = Peer::of(&listener.accept().unwrap().0).unwrap();
    // The process as a whole is still root.
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let error = peer::groups_of_process(&own, &nobody).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::PERM));
}
