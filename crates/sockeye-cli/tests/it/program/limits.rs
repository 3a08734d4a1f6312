//! A connection takes its place until its program has ended.

use std::time::Duration;

use super::{script, serving};
use crate::support::Place;

#[test]
fn there_are_as_many_programs_as_connections() {
    let place = Place::new();
    let mut server = serving(&place, &["--max-connections", "1"], &["cat"]);
    let mut first = server.client();
    first.send("one\n");
    assert_eq!(first.line(), "one");
    let mut second = server.client();
    second.send("two\n");
    second.hears_nothing_for(Duration::from_millis(200));
    drop(first);
    assert_eq!(second.line(), "two");
    drop(second);
    server.stop().is_clean();
}

/// The client has gone, but its program has not.
#[test]
fn a_program_without_a_client_still_counts() {
    let place = Place::new();
    let mut server = script(
        &place,
        &["--max-per-uid", "1"],
        "trap '' PIPE; echo up; exec >&- <&-; while [ ! -e \"$IPCLOCALPATH.done\" ]; do sleep 0.01; done",
    );
    let mut first = server.client();
    assert_eq!(first.line(), "up");
    assert_eq!(first.rest(), b"", "it has closed its end");
    server.client().is_cut();
    let mut done = place.socket().into_os_string();
    done.push(".done");
    std::fs::write(&done, "").expect("our own place");
    crate::support::eventually("there is room for another", || {
        let mut next = server.client();
        (next.rest() == b"up\n").then_some(())
    });
    assert!(server.stop().report().refused >= 1);
}
