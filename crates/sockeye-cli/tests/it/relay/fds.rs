//! File descriptors on their way through a relay.

use super::start;
use crate::support::{Place, Server, run, sockeye};

fn send_file(front: &std::path::Path) -> crate::support::Finished {
    let mut send = sockeye();
    run(send
        .args(["send", "--fd", "/etc/hosts"])
        .arg(front)
        .arg("here"))
}

#[test]
fn a_file_passes_through_two_relays() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--fds"]);
    let (inner, outer) = (place.at("inner"), place.at("outer"));
    let mut first = start(&[], &inner, &[place.socket()]);
    let mut second = start(&[], &outer, &[&inner]);
    send_file(&outer).succeeds();
    server
        .process
        .stdout
        .line("the file", |line| line.contains("/etc/hosts"));
    for relay in [&mut second, &mut first] {
        let ending = relay.stop();
        ending.is_clean();
        assert!(
            !ending.stderr.contains("file descriptors are refused"),
            "{ending:#?}"
        );
    }
    server.stop().is_clean();
}

#[test]
fn refused_file_descriptors_are_an_error_of_their_sender() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--fds"]);
    let front = place.at("front");
    let mut relay = start(&["--fds", "refuse"], &front, &[place.socket()]);
    send_file(&front).fails(5, &["refuses"]);
    let ending = relay.stop();
    ending.is_clean();
    assert!(
        ending
            .stderr
            .starts_with("file descriptors are refused: whoever passes one gets EPERM\n"),
        "{ending:#?}"
    );
    server.stop().is_clean();
}

#[test]
fn dropped_file_descriptors_leave_their_message() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--fds"]);
    let front = place.at("front");
    let mut relay = start(&["--fds", "drop", "-v"], &front, &[place.socket()]);
    send_file(&front).succeeds();
    let line = relay
        .process
        .stderr
        .line("the end", |line| line.contains(", ended: "));
    assert!(line.contains("1 file descriptor closed"), "{line}");
    relay.stop().is_clean();
    let ending = server.stop();
    assert!(!ending.stdout.contains("/etc/hosts"), "{ending:#?}");
}
