//! The credentials of clients at the target, and who is allowed.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use sockeye::peer::AllowedPeers;
use sockeye::relay::DatagramRelayError;
use sockeye::{Datagram, Peer, Pid, pass_credentials};

use super::{RelayPlace, RunningRelay, assert_empty, receive, send, text};
use crate::support::serving::in_time;
use crate::support::{NOBODY, as_nobody, is_root, skipped};

const CLIENT: &str = "import socket,sys,os\n\
    s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n\
    s.connect(sys.argv[1])\n\
    os.setgid(65534); os.setuid(65534)\n\
    s.send(b'from python')\n\
    sys.stdin.read()";

/// A client that runs as nobody, and until its standard input ends.
fn python(place: &RelayPlace) -> Option<std::process::Child> {
    let mut command = Command::new("python3");
    command.args(["-c", CLIENT]).arg(place.0.at("relay.sock"));
    let child = command.stdin(Stdio::piped()).spawn();
    child
        .inspect_err(|_| skipped("python3 is not installed"))
        .ok()
}

#[tokio::test]
async fn the_target_sees_the_credentials_of_the_client() {
    if !is_root() {
        return skipped("only root can send the credentials of others");
    }
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    pass_credentials(&target, true).unwrap();
    let relay = place.relay_to(["target.sock"]).forward_credentials();
    let relay = place.run(relay);
    let Some(mut client) = python(&place) else {
        return;
    };
    let (bytes, received) = receive(&target).await;
    assert_eq!(bytes, b"from python");
    let peer = received.credentials.unwrap();
    assert_eq!((peer.uid(), peer.gid()), (Some(NOBODY), Some(NOBODY)));
    assert_eq!(peer.pid(), Some(Pid::from_child(&client)));
    drop(client.stdin.take());
    client.wait().unwrap();
    // Each datagram has its own.
    send(&place.client().await, "from root").await;
    let peer = receive(&target).await.1.credentials.unwrap();
    assert_eq!(peer, Peer::own_process());
    assert_eq!(relay.quick_report().await.to_target.datagrams, 2);
}

/// Without credentials the target would see those of the relay: root.
#[tokio::test]
async fn a_client_that_has_ended_is_still_itself() {
    if !is_root() {
        return skipped("only root can send the credentials of others");
    }
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    pass_credentials(&target, true).unwrap();
    let relay = place.relay_to(["target.sock"]).forward_credentials();
    let options = relay.claim_options(sockeye::Claim::options());
    let claim = options.claim(&place.address("relay.sock")).unwrap();
    let socket = Datagram::from_claim(claim).unwrap();
    let Some(mut client) = python(&place) else {
        return;
    };
    drop(client.stdin.take());
    client.wait().unwrap();
    let relay = RunningRelay::start(relay, socket);
    let peer = receive(&target).await.1.credentials.unwrap();
    assert_eq!((peer.uid(), peer.gid()), (Some(NOBODY), Some(NOBODY)));
    assert_eq!(peer.pid(), Peer::own_process().pid());
    assert_eq!(relay.quick_report().await.to_target.datagrams, 1);
}

#[tokio::test]
async fn a_datagram_without_credentials_is_not_sent_as_root() {
    if !is_root() {
        return skipped("only root can send the credentials of others");
    }
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    pass_credentials(&target, true).unwrap();
    let socket = place.bound("relay.sock");
    // Queued before SO_PASSCRED is on.
    let client = place.client().await;
    send(&client, "unknown").await;
    let relay = place.relay_to(["target.sock"]).forward_credentials();
    let relay = RunningRelay::start(relay, socket);
    crate::support::serving::settled().await;
    send(&client, "known").await;
    assert_eq!(text(&target).await, "known");
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_target.refused),
        (1, 1)
    );
}

#[tokio::test]
async fn who_may_not_send_is_refused() {
    let place = RelayPlace::new();
    place.0.open_to_all();
    let target = place.bound("target.sock");
    let relay = place
        .relay_to(["target.sock"])
        .allow(AllowedPeers::new().same_user());
    let relay = place.run(relay);
    let path = place.0.at("relay.sock");
    let sent = as_nobody(|| {
        UnixDatagram::unbound()
            .unwrap()
            .send_to(b"nobody", &path)
            .unwrap()
    });
    if sent.is_none() {
        return;
    }
    send(&place.client().await, "own").await;
    assert_eq!(text(&target).await, "own");
    assert_empty(&target);
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_target.refused),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_may_not_be_sent_are_an_error_at_the_start() {
    let place = RelayPlace::new();
    place.0.open_to_all();
    let relay = place.relay_to(["target.sock"]).forward_credentials();
    let socket = place.bound("relay.sock");
    let handle = tokio::runtime::Handle::current();
    let failed = tokio::task::block_in_place(|| {
        as_nobody(|| handle.block_on(in_time(relay.run(socket, std::future::pending()))))
    });
    let Some(failed) = failed else { return };
    assert!(
        matches!(failed, Err(DatagramRelayError::Credentials(_))),
        "{failed:?}"
    );
}
