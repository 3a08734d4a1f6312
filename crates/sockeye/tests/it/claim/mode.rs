//! Mode and owner of the socket file.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sockeye::claim::ClaimErrorKind;
use sockeye::{Address, Claim, Kind};

use crate::support::{NOBODY, Place, as_nobody, is_root, mode_of, set_mode, skipped};

#[test]
fn the_default_is_for_the_owner_only() {
    let place = Place::new();
    let _claim = Claim::options().claim(&place.address()).unwrap();
    assert_eq!(mode_of(&place.socket()), 0o600);
}

#[test]
fn the_mode_is_exact_whatever_the_umask() {
    let long = "n".repeat(200);
    for name in ["app.sock", &long] {
        for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
            for mode in [0o777, 0o666, 0o660, 0o620, 0o606, 0o100, 0o000] {
                let place = Place::new();
                let path = place.at(name);
                let address = Address::new(kind, &sockeye::Name::Path(path.clone())).unwrap();
                let _claim = Claim::options().mode(mode).claim(&address).unwrap();
                assert_eq!(mode_of(&path), mode, "{mode:o}");
            }
        }
    }
}

#[test]
fn a_mode_with_other_bits_is_refused_and_nothing_is_left() {
    for mode in [660, 0o1600, 0o2660, 0o100_600, u32::MAX] {
        let place = Place::new();
        for address in [place.address(), place.abstract_address(Kind::Stream)] {
            let error = Claim::options().mode(mode).claim(&address).unwrap_err();
            assert_eq!(error.kind(), &ClaimErrorKind::NotAMode { mode });
        }
        place.assert_empty();
    }
}

#[test]
fn root_gives_the_socket_away() {
    if !is_root() {
        return skipped("only root can give a file away");
    }
    let long = "n".repeat(200);
    for name in ["app.sock", &long] {
        let place = Place::new();
        let path = place.at(name);
        let address = Address::from_path(&path).unwrap();
        for (uid, gid) in [
            (Some(NOBODY), None),
            (None, Some(NOBODY)),
            (Some(NOBODY), Some(NOBODY)),
        ] {
            let options = Claim::options().mode(0o660).owner(uid, gid);
            let claim = options.claim(&address).unwrap();
            let found = fs::symlink_metadata(&path).unwrap();
            assert_eq!(
                (found.uid(), found.gid()),
                (uid.unwrap_or(0), gid.unwrap_or(0))
            );
            assert_eq!(mode_of(&path), 0o660);
            drop(claim);
            place.assert_empty();
        }
    }
}

#[test]
fn others_may_not_and_nothing_is_left() {
    let long = "n".repeat(200);
    for name in ["app.sock", &long] {
        let place = Place::new();
        set_mode(place.dir(), 0o777);
        let address = Address::from_path(place.at(name)).unwrap();
        let options = Claim::options().owner(Some(0), Some(0));
        let Some(found) = as_nobody(|| options.claim(&address).map(drop)) else {
            return;
        };
        let kind = ClaimErrorKind::OwnerDenied {
            uid: Some(0),
            gid: Some(0),
        };
        assert_eq!(found.unwrap_err().kind(), &kind);
        place.assert_empty();
    }
}
