//! A tap has put a server's socket file aside.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};

use sockeye::claim::ClaimErrorKind;
use sockeye::{Address, BlockingListener, Claim, Connector};

use super::denied;
use crate::support::{HandTap, Place, as_nobody, displaced, identity, leave_stale, set_mode};

fn serving(place: &Place) -> BlockingListener {
    let claim = Claim::options().claim(&place.address()).unwrap();
    claim.into_blocking().unwrap()
}

#[test]
fn the_server_removes_its_own_file_and_leaves_the_path_to_the_tap() {
    let place = Place::new();
    let server = serving(&place);
    let tap = HandTap::before(&place);
    let at_path = identity(&place.socket());
    drop(server);
    assert_eq!(place.names(), ["app.sock"]);
    assert_eq!(identity(&place.socket()), at_path);
    tap.remove();
    drop(serving(&place));
    place.assert_empty();
}

#[test]
fn the_server_removes_its_file_that_was_put_back() {
    let place = Place::new();
    let server = serving(&place);
    let tap = HandTap::before(&place);
    tap.exchange();
    drop(server);
    assert_eq!(place.names(), [".app.sock.tap"]);
}

#[test]
fn another_file_at_the_displaced_name_stays() {
    let place = Place::new();
    let server = serving(&place);
    fs::write(displaced(&place), "data").unwrap();
    drop(server);
    assert_eq!(place.names(), [".app.sock.tap"]);
}

#[test]
fn the_path_of_a_live_tap_is_in_use() {
    let place = Place::new();
    let _server = serving(&place);
    let _tap = HandTap::before(&place);
    let pid = Some(rustix::process::getpid());
    assert_eq!(denied(&place.address()), ClaimErrorKind::InUse { pid });
}

#[test]
fn the_path_of_a_killed_tap_is_the_servers_that_still_runs() {
    let place = Place::new();
    let pid = Some(rustix::process::getpid());
    for is_ours in [true, false] {
        // One of Sockeye's holds its lock; another server has none.
        let server = serving(&place);
        let mut tap = HandTap::before(&place);
        tap.kill();
        if !is_ours {
            fs::remove_file(place.lock()).unwrap();
        }
        let before = (identity(&place.socket()), identity(&displaced(&place)));
        assert_eq!(denied(&place.address()), ClaimErrorKind::Displaced { pid });
        let after = (identity(&place.socket()), identity(&displaced(&place)));
        assert_eq!(after, before);
        // Somebody has removed the tap's file.
        tap.remove();
        assert_eq!(denied(&place.address()), ClaimErrorKind::Displaced { pid });
        fs::rename(displaced(&place), place.socket()).unwrap();
        assert!(UnixStream::connect(place.socket()).is_ok());
        drop(server);
        place.assert_empty();
    }
}

#[test]
fn errors_say_how_to_put_the_file_back() {
    let place = Place::new();
    let _server = serving(&place);
    HandTap::before(&place).kill();
    let path = place.socket().display().to_string();
    let advice = format!("sockeye tap --restore {path}");
    let link = place.at("link");
    std::os::unix::fs::symlink("app.sock", &link).unwrap();
    let link = Address::from_path(link).unwrap();
    let connect = |address| Connector::new().connect_blocking(address).unwrap_err();
    let errors = [
        Claim::options()
            .claim(&place.address())
            .unwrap_err()
            .to_string(),
        connect(&place.address()).to_string(),
        connect(&link).to_string(),
    ];
    let pid = format!("(pid {})", std::process::id());
    for error in errors {
        assert!(error.ends_with(&advice), "{error}");
        assert!(error.contains(".app.sock.tap"), "{error}");
        assert!(error.contains(&pid), "{error}");
    }
}

#[test]
fn a_dead_file_at_the_displaced_name_prevents_nothing() {
    let place = Place::new();
    leave_stale(&displaced(&place));
    drop(serving(&place));
    leave_stale(&place.socket());
    drop(serving(&place));
    assert_eq!(place.names(), [".app.sock.tap"]);
}

#[test]
fn a_strangers_socket_at_the_displaced_name_prevents_nothing() {
    let place = Place::new();
    set_mode(place.dir(), 0o1777);
    let bind = || UnixListener::bind(displaced(&place)).unwrap();
    let Some(_stranger) = as_nobody(bind) else {
        return;
    };
    drop(serving(&place));
    leave_stale(&place.socket());
    drop(serving(&place));
    assert_eq!(place.names(), [".app.sock.tap"]);
}

#[test]
fn another_users_server_behind_a_killed_tap_keeps_root_from_its_path() {
    let place = Place::new();
    set_mode(place.dir(), 0o1777);
    // A tap gives its file the owner of the server's.
    let serve = || {
        let server = serving(&place);
        HandTap::before(&place).kill();
        server
    };
    let Some(server) = as_nobody(serve) else {
        return;
    };
    let pid = Some(rustix::process::getpid());
    assert_eq!(denied(&place.address()), ClaimErrorKind::Displaced { pid });
    drop(server);
}

#[test]
fn a_path_without_room_for_a_displaced_name_is_claimed() {
    let place = Place::new();
    let name = "n".repeat(250);
    let address = Address::from_path(place.at(&name)).unwrap();
    let claim = Claim::options().claim(&address).unwrap();
    assert!(Claim::options().claim(&address).is_err());
    drop(claim);
    place.assert_empty();
}
