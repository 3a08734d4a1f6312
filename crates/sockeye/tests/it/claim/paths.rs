//! Paths of all lengths, and the directories on the way.

use std::fs;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sockeye::claim::{ClaimErrorKind, StrayFile};
use sockeye::{Address, Claim, Connector, Kind};

use super::denied;
use crate::support::{Place, as_nobody, in_own_directory, listening, set_mode};

fn assert_works(address: &Address) {
    let claim = Claim::options().claim(address).unwrap();
    let listener = claim.into_blocking().unwrap();
    let _client = Connector::new().connect_blocking(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.accept().unwrap();
    let again = denied(address);
    assert!(matches!(again, ClaimErrorKind::InUse { .. }), "{again:?}");
}

#[test]
fn a_path_may_be_longer_than_a_socket_address() {
    let place = Place::new();
    let deep = place.at("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    let address = Address::from_path(deep.join("app.sock")).unwrap();
    assert_works(&address);
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
}

#[test]
fn the_length_makes_no_difference_around_the_limits() {
    let place = Place::new();
    let taken = place.dir().as_os_str().len() + 1;
    for length in [85, 86, 106 - taken, 107 - taken, 108 - taken, 249, 250] {
        assert_works(&Address::from_path(place.at("n".repeat(length))).unwrap());
        place.assert_empty();
    }
}

#[test]
fn a_long_name_shows_nothing_but_itself_and_its_lock() {
    let place = Place::new();
    let name = "n".repeat(250);
    let address = Address::from_path(place.at(&name)).unwrap();
    let _claim = Claim::options().claim(&address).unwrap();
    let lock = format!("{name}.lock");
    assert_eq!(place.names(), [name.as_str(), lock.as_str()]);
}

#[test]
fn a_stale_socket_with_a_long_name_is_replaced() {
    let place = Place::new();
    let name = place.at("n".repeat(250));
    let address = Address::from_path(&name).unwrap();
    let short = place.at("short");
    drop(listening(Kind::Stream, &short, 1));
    fs::rename(&short, &name).unwrap();
    assert_works(&address);
    place.assert_empty();

    let _live = listening(Kind::Stream, &short, 1);
    fs::rename(&short, &name).unwrap();
    let found = denied(&address);
    assert!(matches!(found, ClaimErrorKind::InUse { .. }), "{found:?}");
}

#[test]
fn a_name_without_room_for_its_lock_is_refused() {
    let place = Place::new();
    let address = Address::from_path(place.at("n".repeat(251))).unwrap();
    assert_eq!(
        denied(&address),
        ClaimErrorKind::NameTooLong {
            length: 251,
            most: 250
        }
    );
    place.assert_empty();
}

#[test]
fn a_relative_path_is_released_from_anywhere() {
    let place = Place::new();
    fs::create_dir(place.at("sub")).unwrap();
    let long = "n".repeat(200);
    for path in ["app.sock", "./app.sock", "sub/../app.sock", "./@app", &long] {
        in_own_directory(place.dir(), || {
            let address: Address = path.parse().unwrap();
            let claim = Claim::options().claim(&address).unwrap();
            assert_eq!(claim.address(), &address);
            drop(Connector::new().connect_blocking(&address).unwrap());
            std::env::set_current_dir("/").unwrap();
            drop(claim);
        });
        assert_eq!(place.names(), ["sub"]);
    }
}

/// Tools show the name that was bound, so it must lead there from anywhere.
#[test]
fn a_relative_path_is_bound_in_full() {
    let place = Place::new();
    in_own_directory(place.dir(), || {
        let claim = Claim::options()
            .claim(&"app.sock".parse().unwrap())
            .unwrap();
        let listener = claim.into_blocking().unwrap();
        let bound = listener.local_addr().unwrap();
        assert_eq!(bound.as_pathname().unwrap(), place.socket());
    });
}

#[test]
fn bytes_that_are_not_text_are_fine() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"a\xff\x01 b");
    assert_works(&Address::from_path(place.at(name)).unwrap());
    place.assert_empty();
}

#[test]
fn the_directory_at_fault_is_named() {
    let place = Place::new();
    fs::write(place.at("file"), "").unwrap();
    let missing = Address::from_path(place.at("a/b/app.sock")).unwrap();
    assert_eq!(
        denied(&missing),
        ClaimErrorKind::ParentMissing(place.at("a"))
    );
    let through_file = Address::from_path(place.at("file/app.sock")).unwrap();
    assert_eq!(
        denied(&through_file),
        ClaimErrorKind::ParentNotADirectory(place.at("file"))
    );
    assert_eq!(place.names(), ["file"]);
}

#[test]
fn a_directory_that_keeps_us_out_is_named() {
    let place = Place::new();
    place.open_to_all();
    let Some(not_writable) = as_nobody(|| denied(&place.address())) else {
        return;
    };
    let kind = |mode| ClaimErrorKind::ParentDenies {
        directory: place.dir().to_owned(),
        mode_and_owner: Some((mode, Some(0))),
    };
    assert_eq!(not_writable, kind(0o755));

    // A server, or somebody's file, is the better explanation.
    let server = listening(Kind::Stream, &place.socket(), 1);
    set_mode(&place.socket(), 0o666);
    let live = as_nobody(|| denied(&place.address()));
    assert!(
        matches!(live, Some(ClaimErrorKind::InUse { .. })),
        "{live:?}"
    );
    drop(server);
    fs::remove_file(place.socket()).unwrap();
    fs::write(place.socket(), "").unwrap();
    let file = as_nobody(|| denied(&place.address()));
    assert!(
        matches!(file, Some(ClaimErrorKind::NotASocket(_))),
        "{file:?}"
    );

    set_mode(place.dir(), 0o700);
    let closed = as_nobody(|| denied(&place.address()));
    assert_eq!(closed, Some(kind(0o700)));
}

#[test]
fn a_directory_that_anybody_may_write_is_pointed_out() {
    let place = Place::new();
    for (mode, is_unsafe) in [
        (0o700, false),
        (0o755, false),
        (0o775, false),
        (0o1777, false),
        (0o777, true),
        (0o702, true),
    ] {
        set_mode(place.dir(), mode);
        let claim = Claim::options().claim(&place.address()).unwrap();
        let found = claim.unsafe_parent();
        let expected = is_unsafe.then(|| place.dir().to_owned());
        assert_eq!(found, expected, "{mode:o}");
    }
    set_mode(place.dir(), 0o700);
}

#[test]
fn an_address_that_is_bound_already_is_refused() {
    for text in ["fd:3", "systemd:web"] {
        let found = denied(&text.parse().unwrap());
        assert_eq!(found, ClaimErrorKind::AlreadyBound);
    }
}

#[test]
fn the_directory_may_be_renamed_meanwhile() {
    let place = Place::new();
    fs::create_dir(place.at("old")).unwrap();
    let address = Address::from_path(place.at("old/app.sock")).unwrap();
    let claim = Claim::options().claim(&address).unwrap();
    fs::rename(place.at("old"), place.at("new")).unwrap();
    UnixStream::connect(place.at("new/app.sock")).unwrap();
    drop(claim);
    assert_eq!(fs::read_dir(place.at("new")).unwrap().count(), 0);
}

/// What other tools show, and compare letter by letter.
fn bound_name(address: &str) -> std::path::PathBuf {
    let claim = Claim::options().claim(&address.parse().unwrap()).unwrap();
    sockeye::peer::own_path(&claim).unwrap().unwrap()
}

#[test]
fn the_name_that_is_bound_is_the_one_that_people_know() {
    let place = Place::new();
    let dir = place.dir().to_str().unwrap();
    fs::create_dir(place.at("sub")).unwrap();
    std::os::unix::fs::symlink(place.at("sub"), place.at("link")).unwrap();
    for (written, bound) in [
        (format!("/{dir}/./app.sock"), "app.sock"),
        (format!("{dir}//sub///.//app.sock"), "sub/app.sock"),
        // A symbolic link that was written is a name, too.
        (format!("{dir}/link/app.sock"), "link/app.sock"),
        // Where `..` leads, the text does not tell.
        (format!("{dir}/sub/../app.sock"), "app.sock"),
        (format!("{dir}/link/../sub/./app.sock"), "sub/app.sock"),
        (format!("{dir}/{}app.sock", "./".repeat(200)), "app.sock"),
    ] {
        assert_eq!(bound_name(&written), place.at(bound), "{written}");
    }
    in_own_directory(place.dir(), || {
        for (written, bound) in [
            ("app.sock", "app.sock"),
            ("./app.sock", "app.sock"),
            ("sub/..//app.sock", "app.sock"),
            ("./sub/./app.sock", "sub/app.sock"),
        ] {
            assert_eq!(bound_name(written), place.at(bound), "{written}");
        }
    });
}

#[test]
fn a_link_to_a_short_directory_makes_a_long_path_short() {
    let place = Place::new();
    let link = "l".repeat(120);
    std::os::unix::fs::symlink(place.dir(), place.at(&link)).unwrap();
    let written = place.at(&link).join("app.sock");
    assert_eq!(bound_name(written.to_str().unwrap()), place.socket());
}

#[test]
fn a_long_path_is_bound_under_its_own_last_name() {
    let place = Place::new();
    let deep = place.at("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    for (length, is_seen) in [(8, true), (80, true), (200, false)] {
        let path = deep.join("n".repeat(length));
        let bound = bound_name(path.to_str().unwrap());
        assert!(bound.starts_with("/proc/self/fd"), "{}", bound.display());
        assert_eq!(bound.file_name() == path.file_name(), is_seen, "{length}");
    }
}

#[test]
fn a_directory_that_is_replaced_meanwhile_gets_no_file_that_stays() {
    const ROUNDS: usize = 2000;
    let place = Place::new();
    let [asked, other] = ["asked", "other"].map(|name| place.at(name));
    for directory in [&asked, &other] {
        fs::create_dir(directory).unwrap();
    }
    let address = Address::from_path(asked.join("app.sock")).unwrap();
    let ends = AtomicBool::new(false);
    let (mut lost, mut unknown) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                renameat_with(CWD, &asked, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..ROUNDS {
                match Claim::options().claim(&address) {
                    Ok(claim) => drop(claim),
                    Err(error) => match error.kind() {
                        ClaimErrorKind::FileLost(stray) => {
                            lost += 1;
                            unknown += usize::from(*stray != StrayFile::Removed);
                        }
                        // One that was reported, and left.
                        ClaimErrorKind::InUse { .. } if unknown > 0 => {}
                        _ => panic!("{error}"),
                    },
                }
            }
        }));
        ends.store(true, Ordering::Relaxed);
        tried.unwrap();
    });
    let left = |directory| fs::read_dir(directory).unwrap().count();
    let left = left(&asked) + left(&other);
    assert!(left <= unknown, "{left} files, and {unknown} were reported");
    assert!(lost > unknown, "{unknown} of {lost} were not found");
}
