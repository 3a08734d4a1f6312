//! What is wrong usage, and what a recording must be.

use super::{answer_lines, record_lines, replay};
use crate::support::{Place, run, sockeye};

#[test]
fn options_that_do_not_fit_are_wrong_usage() {
    let place = Place::new();
    let (file, path) = (place.at("none.pcapng"), place.socket());
    for (options, word) in [
        (&["--mode", "0660"][..], "--serve"),
        (&["--drain", "1s"], "--serve"),
        (&["--serve", "--check"], "--check"),
        (&["--mask", "x"], "--check"),
        (&["--check", "--mask", "("], "unclosed group"),
        (&["--speed", "0"], "max"),
        (&["--connection", "x"], "whole number"),
    ] {
        replay(options, &file, &path).fails(2, &[word]);
    }
    replay(&[], &file, "fd:0").fails(2, &["path or @name"]);
}

#[test]
fn a_file_that_is_no_recording_is_named() {
    let place = Place::new();
    let file = place.at("app.pcapng");
    replay(&[], &file, place.socket()).fails(1, &["app.pcapng", "no such file"]);
    std::fs::write(&file, "not a recording").unwrap();
    replay(&[], &file, place.socket()).fails(1, &["app.pcapng", "at byte 0"]);
}

#[test]
fn streams_and_records_are_told_apart() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["one"]]);
    for kind in ["seqpacket", "dgram"] {
        let address = format!("{kind}:{}", place.socket().display());
        replay(&[], &file, address).fails(2, &["it has streams", "without seqpacket:"]);
    }
}

#[test]
fn the_help_says_how_masks_count() {
    let help = run(sockeye().args(["replay", "--help"]));
    for words in ["--mask", "--connection", "tcp.stream", "exit 7"] {
        assert!(help.text().contains(words), "{words}: {}", help.text());
    }
}
