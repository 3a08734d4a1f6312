//! Socket files that nobody owns.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};

use super::{ls, objects};
use crate::support::{Place, run, stale_socket};

#[test]
fn only_files_that_no_socket_owns_are_listed() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.at("live")).expect("a fresh path");
    let _moved = UnixListener::bind(place.at("old")).expect("a fresh path");
    fs::rename(place.at("old"), place.at("moved")).expect("our own place");
    let _datagram = UnixDatagram::bind(place.at("datagram")).expect("a fresh path");
    fs::write(place.at("file"), "").expect("our own place");
    fs::create_dir(place.at("below")).expect("our own place");
    stale_socket(&place.at("below/deep"));
    symlink("below/deep", place.at("link")).expect("our own place");
    let dir = place.dir().to_str().expect("plain");
    run(&mut ls(["--stale", "--in", dir])).fails(3, &[dir]);

    stale_socket(&place.at("left behind"));
    let before = place.snapshot();
    let listed = run(&mut ls(["--json", "--stale", "--in", dir]));
    let found = objects(&listed);
    assert_eq!(found.len(), 1, "{found:#?}");
    let row = &found[0];
    let path = place.at("left behind");
    assert_eq!(row["address"], path.to_str().expect("plain"));
    let file = rustix::fs::stat(&path).expect("there");
    assert_eq!(row["file"]["ino"], file.st_ino);
    assert!(row["kind"].is_null() && row["inode"].is_null() && row["peer"].is_null());
    if listed.code == Some(0) {
        assert_eq!(row["state"], "stale");
        assert_eq!(row["holders"], serde_json::json!([]));
    } else {
        // In a container, or not as root, nobody can be sure.
        assert_eq!(listed.code, Some(7), "{listed:#?}");
        listed.explains(&["not seen"]);
        assert!(row["state"].is_null() && row["holders"].is_null(), "{row}");
    }
    let below = place.at("below");
    let both = [
        "--stale",
        "--in",
        dir,
        "--in",
        below.to_str().expect("plain"),
        "-H",
        "-o",
        "address",
    ];
    let text = run(&mut ls(both)).text();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(place.snapshot(), before, "nothing is touched");
}

#[test]
fn a_directory_that_was_asked_for_has_to_be_there() {
    let place = Place::new();
    let missing = place.at("missing");
    let missing = missing.to_str().expect("plain");
    run(&mut ls(["--stale", "--in", missing])).fails(3, &[missing, "give"]);
    let listed = run(ls(["--stale"]).env("XDG_RUNTIME_DIR", missing));
    assert!(matches!(listed.code, Some(0 | 3 | 7)), "{listed:#?}");
    stale_socket(&place.socket());
    let listed = run(ls(["--stale"]).env("XDG_RUNTIME_DIR", place.dir()));
    assert!(listed.text().contains("app.sock"), "{listed:#?}");
}
