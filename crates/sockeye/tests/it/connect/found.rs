//! What is found at an address where nobody can be reached.

use super::*;

#[test]
fn a_socket_of_another_kind_is_named() {
    let place = Place::new();
    let packets = place.at("seqpacket");
    let datagrams = place.at("dgram");
    let _packets = listening(Kind::SeqPacket, &packets, 1);
    let _datagrams = bound(Kind::Datagram, &datagrams);
    for (path, kind) in [(packets, Kind::SeqPacket), (datagrams, Kind::Datagram)] {
        let address = Address::from_path(path).unwrap();
        assert_fails(
            &patient(),
            &address,
            |found| matches!(found, ConnectErrorKind::WrongKind { actual } if *actual == Some(kind)),
        );
    }
}

/// Each kind has its abstract names to itself, so the kernel says no more than "refused".
#[test]
fn an_abstract_name_of_another_kind_is_named() {
    let place = Place::new();
    for kind in [Kind::SeqPacket, Kind::Datagram] {
        let _claim = Claim::options()
            .claim(&place.abstract_address(kind))
            .unwrap();
        let address = place.abstract_address(Kind::Stream);
        assert_fails(
            &Connector::new(),
            &address,
            |found| matches!(found, ConnectErrorKind::WrongKind { actual } if *actual == Some(kind)),
        );
    }
}

#[test]
fn what_is_not_a_socket_is_named() {
    let place = Place::new();
    fs::write(place.at("file"), "data").unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    symlink(place.at("file"), place.at("link")).unwrap();
    for (name, file) in [
        ("file", FileType::RegularFile),
        ("dir", FileType::Directory),
        ("link", FileType::RegularFile),
    ] {
        let address = Address::from_path(place.at(name)).unwrap();
        assert_fails(
            &patient(),
            &address,
            |found| matches!(found, ConnectErrorKind::NotASocket(found) if *found == file),
        );
    }
    let through_file = Address::from_path(place.at("file/app.sock")).unwrap();
    assert_fails(
        &patient(),
        &through_file,
        |found| matches!(found, ConnectErrorKind::ParentNotADirectory(path) if *path == place.at("file")),
    );
}

#[test]
fn permissions_that_stand_in_the_way_are_named() {
    let place = Place::new();
    let _claim = Claim::options().claim(&place.address()).unwrap();
    place.open_to_all();
    let fails = |check: fn(&ConnectErrorKind) -> bool| {
        as_nobody(|| assert_fails(&patient(), &place.address(), check))
    };
    fails(|found| {
        matches!(
            found,
            ConnectErrorKind::ModeDenies {
                mode_and_owner: Some((0o600, Some(0)))
            }
        )
    });
    // Behind a symbolic link it is the directory there that denies.
    let closed = place.at("closed");
    fs::create_dir_all(closed.join("run")).unwrap();
    set_mode(&closed, 0o700);
    symlink(closed.join("run"), place.at("link")).unwrap();
    let through_link = Address::from_path(place.at("link/app.sock")).unwrap();
    as_nobody(|| {
        assert_fails(
            &patient(),
            &through_link,
            |found| matches!(found, ConnectErrorKind::DirectoryDenies { directory, .. } if *directory == closed),
        );
    });
    set_mode(place.dir(), 0o700);
    fails(|found| {
        matches!(
            found,
            ConnectErrorKind::DirectoryDenies {
                mode_and_owner: Some((0o700, Some(0))),
                ..
            }
        )
    });
}

#[test]
fn a_stream_connects_to_a_stream_address_only() {
    for text in ["seqpacket:/tmp/x", "dgram:@x"] {
        let wanted = Kind::Stream;
        assert_fails(
            &patient(),
            &text.parse().unwrap(),
            |found| matches!(found, ConnectErrorKind::WrongAddressKind { wanted: w } if *w == wanted),
        );
    }
    assert_fails(&patient(), &"systemd:web".parse().unwrap(), |found| {
        matches!(found, ConnectErrorKind::NotAnAddressToCall)
    });
}
