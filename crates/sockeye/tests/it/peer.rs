//! [`Peer`]: what the unit tests cannot show, since there both ends are one user.

use std::os::unix::net::UnixStream;

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
    assert_eq!(peer::groups(&server).unwrap(), []);
    let pid = rustix::process::getpid().as_raw_pid();
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
    assert_eq!(peer.pid(), Some(rustix::process::getpid()));
}
