//! What is wrong usage, and what a recording must be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{answer_lines, record_lines, replay};
use crate::support::{OtherUser, Place, run, sockeye};

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
    fs::write(place.at("text"), "not a recording").unwrap();
    fs::write(place.at("two"), "ab").unwrap();
    fs::write(place.at("gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    fs::write(place.at("empty"), "").unwrap();
    fs::write(place.at("newline"), "\n").unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    symlink("nowhere", place.at("link")).unwrap();
    let fifo = place.at("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    for (name, code, words) in [
        ("none", 3, "there is no such file; check the name"),
        ("none/x", 3, "none does not exist; make it"),
        ("text/x", 3, "text is not a directory; check the path"),
        ("link", 3, "nowhere, which does not exist; check"),
        ("dir", 1, "it is a directory, not a regular file; check"),
        (
            "fifo",
            1,
            "it is a FIFO, not a regular file; save it to one",
        ),
        ("empty", 1, "it is empty; give a file of"),
        ("newline", 1, "it was cut behind byte 0); record some"),
        (
            "text",
            1,
            "at byte 0: it is no recording: it begins with 6e 6f 74 20, and",
        ),
        ("two", 1, "it begins with 61 62, and"),
        ("gz", 1, "at byte 0: it is compressed; decompress it"),
    ] {
        for options in [&[][..], &["--serve"]] {
            replay(options, &place.at(name), place.socket()).fails(code, &[name, words]);
        }
    }
}

#[test]
fn a_recording_that_may_not_be_read_is_named() {
    let Some(other) = OtherUser::new() else {
        return;
    };
    let place = &other.place;
    fs::write(place.at("secret"), "").unwrap();
    fs::set_permissions(place.at("secret"), Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(place.at("closed")).unwrap();
    fs::set_permissions(place.at("closed"), Permissions::from_mode(0o700)).unwrap();
    for (name, words) in [
        (
            "secret",
            "(mode 0600, owner uid 0) does not let uid 65534 read it; ask",
        ),
        (
            "closed/a",
            "closed (mode 0700, owner uid 0) does not let uid 65534 pass",
        ),
    ] {
        for serve in [None, Some("--serve")] {
            let mut command = other.sockeye("replay");
            command.args(serve).arg(place.at(name)).arg(place.socket());
            run(&mut command).fails(5, &[name, words]);
        }
    }
}

#[test]
fn a_recording_that_was_cut_is_played_and_is_incomplete() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["one"], &["two"]]);
    let size = fs::metadata(&file).unwrap().len();
    let shortened = fs::File::options().write(true).open(&file).unwrap();
    shortened.set_len(size - 3).unwrap();
    let replayed = replay(&["--check"], &file, place.socket());
    assert_eq!(replayed.code, Some(7), "{replayed:?}");
    for words in [
        "was cut behind byte",
        "replayed 2 connections",
        "0 different",
    ] {
        assert!(replayed.stderr.contains(words), "{replayed:?}");
    }
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
