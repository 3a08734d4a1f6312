//! Who owns an address of records, and how open it is. What does not depend on the kind is told in
//! `claim`.

use sockeye::claim::ClaimErrorKind;
use sockeye::packet::{BlockingDatagram, BlockingSeqPacketListener};
use sockeye::{Claim, Kind};

use super::KINDS;
use crate::support::{Place, bound, identity, listening, mode_of, with_umask};

#[test]
fn the_mode_is_exact_under_any_umask() {
    for kind in KINDS {
        for umask in [0o077, 0o000, 0o777] {
            for mode in [0o600, 0o666, 0o660, 0o000] {
                let place = Place::new();
                let found = with_umask(umask, || {
                    let options = Claim::options().mode(mode);
                    let _claim = options.claim(&place.address_of(kind)).unwrap();
                    mode_of(&place.socket())
                });
                assert_eq!(found, mode, "{kind} under {umask:o}");
            }
        }
    }
}

#[test]
fn a_second_claim_is_refused_and_the_address_is_free_afterwards() {
    for kind in KINDS {
        let place = Place::new();
        for address in [place.address_of(kind), place.abstract_address(kind)] {
            let hold: Box<dyn std::any::Any> = match kind {
                Kind::Datagram => {
                    let claim = Claim::options().claim(&address).unwrap();
                    Box::new(BlockingDatagram::from_claim(claim).unwrap())
                }
                _ => {
                    let claim = Claim::options().claim(&address).unwrap();
                    Box::new(BlockingSeqPacketListener::from_claim(claim).unwrap())
                }
            };
            let file = identity(&place.socket());
            let error = Claim::options().claim(&address).unwrap_err();
            let pid = Some(rustix::process::getpid());
            assert_eq!(error.kind(), &ClaimErrorKind::InUse { pid });
            assert_eq!(identity(&place.socket()), file);
            drop(hold);
            place.assert_empty();
        }
    }
}

#[test]
fn a_live_one_is_never_removed_and_a_stale_one_is_replaced() {
    for kind in KINDS {
        for live in [bound, |kind, path: &_| match kind {
            Kind::Datagram => bound(kind, path),
            _ => listening(kind, path, 1),
        }] {
            let place = Place::new();
            let theirs = live(kind, &place.socket());
            let file = identity(&place.socket());
            // A server of another kind has the path all the same.
            for wanted in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
                let error = Claim::options()
                    .claim(&place.address_of(wanted))
                    .unwrap_err();
                let pid = Some(rustix::process::getpid());
                assert_eq!(error.kind(), &ClaimErrorKind::InUse { pid }, "{error}");
                assert_eq!(identity(&place.socket()), file);
            }
            drop(theirs);
            let claim = Claim::options().claim(&place.address_of(kind)).unwrap();
            assert_ne!(identity(&place.socket()), file);
            drop(claim);
            place.assert_empty();
        }
    }
}
