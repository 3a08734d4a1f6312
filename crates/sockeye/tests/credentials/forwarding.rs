//! Messages that carry the credentials of the client (`SCM_CREDENTIALS`).

use std::os::fd::{AsFd, OwnedFd};

use sockeye::ancillary::{self, Received};
use sockeye::packet::{BlockingSeqPacket, BlockingSeqPacketListener};
use sockeye::relay::{CredentialsError, Relay, RelayEnd, RelayError};
use sockeye::{Claim, Connector, SeqPacket, Stream};
use tokio::task::spawn_blocking;

use super::*;

/// The next message of a target that asks for credentials.
fn received(target: &OwnedFd) -> Received {
    let mut buffer = [0; 64];
    ancillary::recv_msg(target, &mut buffer).unwrap().unwrap()
}

fn assert_alice(received: &Received) {
    let sender = received.credentials.unwrap();
    let ids = (Some(ALICE.uid), Some(ALICE.gid));
    assert_eq!((sender.uid(), sender.gid()), ids, "{received:?}");
}

/// `ours` is the client's connection, with a message that was sent before the relay had it.
fn check(client: OwnedFd, ours: impl FnOnce() -> RelayEnd, kind: Kind) {
    let (theirs, target) = pair(kind);
    ancillary::pass_credentials(&target, true).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    runtime().block_on(async {
        let theirs: RelayEnd = match kind {
            Kind::SeqPacket => SeqPacket::adopt(theirs).unwrap().into(),
            _ => Stream::adopt(theirs).unwrap().into(),
        };
        let relay = Relay::new().forward_credentials();
        let joined = tokio::spawn(relay.join(ours(), theirs));
        spawn_blocking(move || {
            let early = received(&target);
            assert_eq!(early.bytes, 5);
            assert_alice(&early);
            for fds in [0, 2] {
                let fds = vec![file.as_fd(); fds];
                ALICE.call(|| ancillary::send_msg(&client, b"later", &fds).unwrap());
                let later = received(&target);
                assert_eq!((later.bytes, later.descriptors.len()), (5, fds.len()));
                assert_alice(&later);
            }
            drop(client);
        })
        .await
        .unwrap();
        let report = joined.await.unwrap().unwrap();
        assert!(report.failure.is_none(), "{report:?}");
    });
}

fn pair(kind: Kind) -> (OwnedFd, OwnedFd) {
    match kind {
        Kind::SeqPacket => {
            let (one, other) = BlockingSeqPacket::pair().unwrap();
            (one.into(), other.into())
        }
        _ => {
            let (one, other) = UnixStream::pair().unwrap();
            (one.into(), other.into())
        }
    }
}

/// One that came before `SO_PASSCRED` was on has none of its own: sent on without any it would be root's.
#[test]
fn every_message_of_a_stream_is_the_clients() {
    alone(|| {
        let place = Place::new();
        let listener = place.listener();
        let client = ALICE.call(|| UnixStream::connect(place.socket()).unwrap());
        // Before accept(2) the kernel adds them to each message.
        let (accepted, _) = listener.accept().unwrap();
        ALICE.call(|| ancillary::send_msg(&client, b"early", &[]).unwrap());
        let ours = || Stream::from_std(accepted).unwrap().into();
        check(client.into(), ours, Kind::Stream);
    });
}

#[test]
fn every_record_is_the_clients() {
    alone(|| {
        let place = Place::new();
        let address = place.address_of(Kind::SeqPacket);
        let claim = Claim::options().mode(0o666).claim(&address).unwrap();
        let listener = BlockingSeqPacketListener::from_claim(claim).unwrap();
        let connect = || {
            Connector::new()
                .connect_seqpacket_blocking(&address)
                .unwrap()
        };
        let client = ALICE.call(connect);
        let accepted = listener.accept().unwrap();
        ALICE.call(|| client.send(b"early").unwrap());
        let ours = || SeqPacket::adopt(accepted.into()).unwrap().into();
        check(client.into(), ours, Kind::SeqPacket);
    });
}

#[test]
fn a_client_without_credentials_is_not_joined() {
    alone(|| {
        runtime().block_on(async {
            let (_client, ours) = tokio::io::duplex(64);
            let (theirs, _target) = Stream::pair().unwrap();
            let relay = Relay::new().forward_credentials();
            let error = relay.join(RelayEnd::io(ours), theirs).await.unwrap_err();
            let RelayError::NoCredentials(CredentialsError::NoPeer(_)) = error else {
                panic!("{error}")
            };
        });
    });
}
