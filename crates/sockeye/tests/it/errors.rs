//! What the errors say: on one line what was tried on which address, what was found, what to do.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sockeye::packet::{BlockingDatagram, BlockingSeqPacketListener};
use sockeye::{Address, Claim, Connector, IfExists, Kind};

use crate::support::{
    NOBODY, Place, as_nobody, bound, fill_backlog, leave_stale, listening, set_mode,
};

/// All of `parts` are on one line, in this order, and the last part is advice.
#[track_caller]
fn assert_says(error: &impl Display, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    assert!(text.contains("; "), "no advice: {text}");
    let mut rest = &text[..];
    for part in parts {
        let Some(at) = rest.find(part) else {
            panic!("no {part:?} (any more) in: {text}");
        };
        rest = &rest[at + part.len()..];
    }
}

#[track_caller]
fn assert_claim_says(address: &Address, parts: &[&str]) {
    let error = Claim::options().claim(address).unwrap_err();
    assert_eq!(error.address(), address);
    assert_says(&error, &["cannot listen on ", &address.to_string(), ": "]);
    assert_says(&error, parts);
}

#[track_caller]
fn assert_connect_says(connector: &Connector, address: &Address, parts: &[&str]) {
    let error = connector.connect_blocking(address).unwrap_err();
    assert_eq!(error.address(), address);
    assert_says(&error, &["cannot connect to ", &address.to_string(), ": "]);
    assert_says(&error, parts);
}

fn shown(path: impl AsRef<std::path::Path>) -> String {
    path.as_ref().display().to_string()
}

#[test]
fn a_claim_says_what_is_at_the_path() {
    let place = Place::new();
    let pid = format!("(pid {})", std::process::id());
    let server = listening(Kind::Stream, &place.socket(), 1);
    assert_claim_says(&place.address(), &["running server", &pid, "stop"]);
    drop(server);
    let fails = Claim::options().if_exists(IfExists::Fail);
    let error = fails.claim(&place.address()).unwrap_err();
    assert_says(
        &error,
        &[&shown(place.socket()), "nobody listens", "remove"],
    );
    fs::remove_file(place.socket()).unwrap();
    fs::create_dir(place.socket()).unwrap();
    assert_claim_says(&place.address(), &["a directory", "only sockets"]);
    fs::remove_dir(place.socket()).unwrap();
    symlink("elsewhere", place.socket()).unwrap();
    assert_claim_says(&place.address(), &["a symbolic link", "leads to"]);
}

#[test]
fn a_claim_names_the_lock_file() {
    let place = Place::new();
    let lock = fs::File::create(place.lock()).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let name = shown(place.lock());
    assert_claim_says(&place.address(), &["holds its lock file", &name]);
    drop(lock);
    fs::write(place.lock(), "data").unwrap();
    assert_claim_says(
        &place.address(),
        &[&name, "a regular file", "move that away"],
    );
}

#[test]
fn a_claim_names_the_directory_or_the_length() {
    let place = Place::new();
    let long = Address::from_path(place.at("n".repeat(251))).unwrap();
    assert_claim_says(&long, &["251 bytes", ".lock", "shorten"]);
    let missing = Address::from_path(place.at("a/b/c")).unwrap();
    assert_claim_says(
        &missing,
        &[&shown(place.at("a")), "does not exist", "create"],
    );
    fs::write(place.at("file"), "").unwrap();
    let file = Address::from_path(place.at("file/x")).unwrap();
    assert_claim_says(&file, &[&shown(place.at("file")), "not a directory"]);
    place.open_to_all();
    let dir = shown(place.dir());
    as_nobody(|| assert_claim_says(&place.address(), &[&dir, "0755", "uid 0", "uid 65534"]));
    set_mode(place.dir(), 0o777);
    let options = Claim::options().owner(Some(0), Some(1));
    if let Some(error) = as_nobody(|| options.claim(&place.address()).unwrap_err()) {
        assert_says(&error, &["owner", "uid 0 gid 1", "run as root"]);
    }
}

#[test]
fn a_connector_says_what_is_at_the_path() {
    let place = Place::new();
    let at_once = Connector::new();
    assert_connect_says(
        &at_once,
        &place.address(),
        &["no such file", "start the server"],
    );
    leave_stale(&place.socket());
    let parts = ["nobody listens", "killed", "start the server"];
    assert_connect_says(&at_once, &place.address(), &parts);
    fs::remove_file(place.socket()).unwrap();
    let pid = format!("(pid {})", std::process::id());
    let starting = bound(Kind::Stream, &place.socket());
    assert_connect_says(&at_once, &place.address(), &[&pid, "does not listen"]);
    drop(starting);
    fs::remove_file(place.socket()).unwrap();
    let packets = listening(Kind::SeqPacket, &place.socket(), 1);
    assert_connect_says(
        &at_once,
        &place.address(),
        &["a seqpacket socket", "stream"],
    );
    drop(packets);
    fs::remove_file(place.socket()).unwrap();
    fs::write(place.socket(), "").unwrap();
    assert_connect_says(
        &at_once,
        &place.address(),
        &["a regular file", "not a socket"],
    );
    let missing = Address::from_path(place.at("a/b")).unwrap();
    assert_connect_says(
        &at_once,
        &missing,
        &[&shown(place.at("a")), "does not exist"],
    );
    let name = place.abstract_address(Kind::Stream);
    assert_connect_says(&at_once, &name, &["nobody listens on this name"]);
}

#[test]
fn a_connector_says_how_long_it_waited() {
    let place = Place::new();
    let time = Duration::from_millis(20);
    let waits = Connector::new().wait_for(time).connect_timeout(time);
    assert_connect_says(&waits, &place.address(), &["after 20ms", "wait longer"]);
    let _server = listening(Kind::Stream, &place.socket(), 0);
    let _clients = fill_backlog(Kind::Stream, &place.socket());
    assert_connect_says(
        &waits,
        &place.address(),
        &["full after 20ms", "wait longer"],
    );
}

#[test]
fn a_connector_says_what_denies() {
    let place = Place::new();
    let _claim = Claim::options().claim(&place.address()).unwrap();
    place.open_to_all();
    let asks = |parts: &[&str]| {
        as_nobody(|| assert_connect_says(&Connector::new(), &place.address(), parts))
    };
    let me = format!("uid {NOBODY}");
    asks(&["socket file (mode 0600, owner uid 0)", &me, "write"]);
    set_mode(place.dir(), 0o700);
    asks(&[&shown(place.dir()), "(mode 0700, owner uid 0)", &me, "(x)"]);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn what_is_not_adopted_is_named() {
    let (left, _right) = std::os::unix::net::UnixStream::pair().unwrap();
    let error = sockeye::Listener::adopt(left.into()).unwrap_err();
    assert_says(&error, &["does not listen", "; "]);
    let (pipe, _writer) = std::io::pipe().unwrap();
    let error = sockeye::Stream::adopt(pipe.into()).unwrap_err();
    assert_says(&error, &["not a socket", "; pass"]);
}

#[test]
fn a_claim_of_another_kind_names_the_type_for_it() {
    let place = Place::new();
    let says = |kind, error: &std::io::Error, parts: &[&str]| {
        let address = place.address_of(kind).to_string();
        assert_says(error, &["cannot listen on ", &address, ": "]);
        assert_says(error, parts);
        place.assert_empty();
    };
    let claim = |kind| Claim::options().claim(&place.address_of(kind)).unwrap();
    let error = claim(Kind::SeqPacket).into_blocking().unwrap_err();
    let parts = [
        "a seqpacket socket",
        "a stream",
        "; use BlockingSeqPacketListener",
    ];
    says(Kind::SeqPacket, &error, &parts);
    let error = BlockingSeqPacketListener::from_claim(claim(Kind::Datagram)).unwrap_err();
    let parts = ["a datagram socket", "a seqpacket", "; use BlockingDatagram"];
    says(Kind::Datagram, &error, &parts);
    let error = BlockingDatagram::from_claim(claim(Kind::Stream)).unwrap_err();
    let parts = ["a stream socket", "a datagram", "; use BlockingListener"];
    says(Kind::Stream, &error, &parts);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_listener_of_another_kind_names_the_type_for_it() {
    use sockeye::{Datagram, Listener, SeqPacketListener, Takeover};

    let place = Place::new();
    let claim = |kind| Claim::options().claim(&place.address_of(kind)).unwrap();
    let error = Listener::from_claim(claim(Kind::SeqPacket)).unwrap_err();
    let parts = [
        "a seqpacket socket",
        " Listener takes ",
        "a stream",
        "; use SeqPacketListener",
    ];
    assert_says(&error, &parts);
    let error = SeqPacketListener::from_claim(claim(Kind::Datagram)).unwrap_err();
    let parts = [
        "a datagram socket",
        "SeqPacketListener takes",
        "; use Datagram",
    ];
    assert_says(&error, &parts);
    let error = Datagram::from_claim(claim(Kind::Stream)).unwrap_err();
    assert_says(
        &error,
        &["a stream socket", "Datagram takes", "; use Listener"],
    );
    place.assert_empty();

    let takeover = Takeover::new(Claim::options());
    let address = place.address_of(Kind::SeqPacket);
    let error = takeover
        .listen::<sockeye::Stream>(&address)
        .await
        .unwrap_err();
    let parts = [
        "cannot take over ",
        &address.to_string(),
        "a seqpacket socket",
        "; ask for a SeqPacketListener",
    ];
    assert_says(&error, &parts);
    let address = place.address_of(Kind::Datagram);
    let error = takeover
        .listen::<sockeye::Stream>(&address)
        .await
        .unwrap_err();
    assert_says(
        &error,
        &["only the path of a stream or seqpacket socket", "; give"],
    );
    place.assert_empty();
}

#[test]
fn a_mode_in_decimal_is_named_with_the_octal_one() {
    let address = Place::new().address();
    let says = |mode, parts: &[&str]| {
        let error = Claim::options().mode(mode).claim(&address).unwrap_err();
        assert_says(&error, parts);
    };
    says(660, &["the mode 0o1224", "beyond 0o777", "as 0o660"]);
    says(0o4755, &["the mode 0o4755", "beyond 0o777", "as 0o660"]);
}

#[test]
fn the_debug_of_an_error_is_its_sentence() {
    let place = Place::new();
    let _owner = Claim::options().claim(&place.address()).unwrap();
    // As `main` prints it.
    let error: Box<dyn std::error::Error> =
        Box::new(Claim::options().claim(&place.address()).unwrap_err());
    assert_says(
        &format!("{error:?}"),
        &["cannot listen on ", "running server", "; stop"],
    );
    let error = Connector::new().connect_blocking(&place.abstract_address(Kind::Stream));
    assert_says(
        &format!("{:?}", error.unwrap_err()),
        &["cannot connect to ", "; "],
    );
    let error = "http://x".parse::<Address>().unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}
