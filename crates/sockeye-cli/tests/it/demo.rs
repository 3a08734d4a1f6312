//! `sockeye demo`: the whole story, and nothing left of it.

use std::fs;
use std::path::PathBuf;

use crate::support::{Place, run, sockeye};

#[test]
fn it_tells_the_story_and_leaves_nothing() {
    let place = Place::new();
    let demo = run(sockeye().arg("demo").env("TMPDIR", place.dir()));
    assert_eq!(demo.code, Some(0), "{demo:#?}");
    assert_eq!(place.names().len(), 0, "nothing is left");
    assert!(!demo.stderr.contains("panicked"), "{}", demo.stderr);
    let told = demo.text().to_lowercase();
    let dir = place.dir().to_str().expect("plain").to_lowercase();
    assert!(!told.contains("most unix sockets speak http"), "{told}");
    for (what, words) in [
        ("the path", &[dir.as_str()] as &[&str]),
        ("its mode", &["0600", "rw-------"]),
        ("who listens", &["pid"]),
        ("a message", &["received "]),
        ("its answer", &["message received successfully"]),
        ("a second server refused", &["second", "another"]),
        ("why", &["in use", "owns it", "already"]),
        ("a stale file replaced", &["stale", "left behind"]),
        ("a clean shutdown", &["served"]),
        ("HTTP", &["hello, http!"]),
        ("its client", &["curl --unix-socket", "send --http"]),
    ] {
        assert!(
            words.iter().any(|word| told.contains(word)),
            "{what} ({words:?}) is missing in: {told}"
        );
    }
}

#[test]
fn it_needs_no_curl() {
    let place = Place::new();
    let mut demo = sockeye();
    demo.arg("demo").env("TMPDIR", place.dir());
    let demo = run(demo.env("PATH", place.dir()));
    assert_eq!(demo.code, Some(0), "{demo:#?}");
    assert!(demo.text().contains("send --http 'GET /hello.txt'"));
    assert!(demo.text().contains("\n   Hello, HTTP!\n"));
}

#[test]
fn it_works_in_a_long_directory() {
    let place = Place::new();
    let long: PathBuf = [
        place.dir().to_owned(),
        "d".repeat(120).into(),
        "e".repeat(120).into(),
    ]
    .iter()
    .collect();
    fs::create_dir_all(&long).expect("our own place");
    let demo = run(sockeye().arg("demo").env("TMPDIR", &long));
    assert_eq!(demo.code, Some(0), "{demo:#?}");
    let left: Vec<_> = fs::read_dir(&long).expect("still there").collect();
    assert!(left.is_empty(), "nothing is left: {left:?}");
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let place = Place::new();
    let mut demos: Vec<_> = (0..4)
        .map(|_| {
            let mut command = sockeye();
            command.arg("demo").env("TMPDIR", place.dir());
            crate::support::Process::spawn(&mut command)
        })
        .collect();
    for demo in &mut demos {
        let finished = demo.finish();
        assert_eq!(finished.code, Some(0), "{finished:#?}");
    }
    assert_eq!(place.names().len(), 0, "nothing is left");
}

#[test]
fn a_temporary_directory_that_is_missing_is_named() {
    let place = Place::new();
    let missing = place.at("missing");
    let demo = run(sockeye().arg("demo").env("TMPDIR", &missing));
    assert_ne!(demo.code, Some(0), "{demo:#?}");
    demo.explains(&[missing.to_str().expect("plain")]);
}
