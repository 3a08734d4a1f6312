//! `sockeye tap --record`: everything that passes is in the file.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use sockeye::capture::{RecordedPart, Recording};
use sockeye::relay::ObservedDirection;

use super::{Echo, ask, started};
use crate::support::{OtherUser, Server, in_own_mounts, mount_tmpfs, run};

/// What each connection of a recording has sent and received.
fn recorded(file: &Path) -> Vec<[Vec<u8>; 2]> {
    let recording = Recording::open(file).expect("a recording");
    assert_eq!(recording.cut(), None);
    let connections = recording.connections().iter().map(|connection| {
        assert!(connection.is_complete(), "{connection:?}");
        let mut both = [Vec::new(), Vec::new()];
        for event in connection.events() {
            if let RecordedPart::Bytes(location) = &event.what {
                let bytes = recording.read(location).expect("our own file");
                let is_answer = event.direction == ObservedDirection::ToClient;
                both[usize::from(is_answer)].extend(bytes);
            }
        }
        both
    });
    connections.collect()
}

#[test]
fn a_recording_has_every_byte_of_every_connection() {
    let echo = Echo::start();
    let (path, file) = (echo.place.socket(), echo.place.at("a.pcapng"));
    let options = ["--quiet", "--record", file.to_str().unwrap()];
    let mut tap = started(&options, &path);
    thread::scope(|scope| {
        for client in 0..8_usize {
            let path = &path;
            scope.spawn(move || {
                for round in 0..20_usize {
                    let size = (client * 20 + round) * 997 % 100_000;
                    let message = vec![client as u8; size];
                    assert_eq!(ask(path, &message).unwrap(), message);
                }
            });
        }
    });
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let mut sizes: BTreeMap<(u8, usize), usize> = BTreeMap::new();
    for [sent, answered] in recorded(&file) {
        assert!(sent == answered, "an echo");
        let client = sent.first().copied().unwrap_or_default();
        assert!(sent.iter().all(|&byte| byte == client));
        *sizes.entry((client, sent.len())).or_default() += 1;
    }
    let mut expected = BTreeMap::new();
    for client in 0..8_usize {
        for round in 0..20_usize {
            let size = (client * 20 + round) * 997 % 100_000;
            let key = if size == 0 {
                (0, 0)
            } else {
                (client as u8, size)
            };
            *expected.entry(key).or_default() += 1;
        }
    }
    assert_eq!(sizes, expected);
}

#[test]
fn a_full_disk_costs_the_recording_and_not_the_traffic() {
    in_own_mounts(|| {
        let echo = Echo::start();
        let small = echo.place.at("small");
        fs::create_dir(&small).unwrap();
        mount_tmpfs(&small);
        let remounted = run(std::process::Command::new("mount")
            .args(["-o", "remount,size=256k"])
            .arg(&small));
        remounted.succeeds();
        let (path, file) = (echo.place.socket(), small.join("a.pcapng"));
        let options = ["--quiet", "--record", file.to_str().unwrap()];
        let mut tap = started(&options, &path);
        for round in 0..50_u8 {
            let message = vec![round; 10_000];
            assert_eq!(ask(&path, &message).unwrap(), message);
        }
        tap.signal(Signal::TERM);
        let finished = tap.finish();
        assert_eq!(finished.code, Some(7), "{finished:?}");
        for words in ["No space left", "incomplete", "dropped"] {
            assert!(finished.stderr.contains(words), "{finished:?}");
        }
        let recording = Recording::open(&file).expect("whole blocks");
        assert_eq!(recording.cut(), None);
        assert!(recording.packets() > 0);
    });
}

#[test]
fn a_recording_that_is_no_recording_is_left() {
    let echo = Echo::start();
    let (path, file) = (echo.place.socket(), echo.place.at("notes.txt"));
    fs::write(&file, "important\n").unwrap();
    let before = echo.place.snapshot();
    let options = ["--record", file.to_str().unwrap()];
    run(&mut super::tap(&options, &path)).fails(4, &["notes.txt", "no recording"]);
    // Nor is a recording emptied where no server is.
    let options = ["--record", file.to_str().unwrap()];
    run(&mut super::tap(&options, &echo.place.at("none"))).fails(3, &["no file"]);
    assert_eq!(echo.place.snapshot(), before);
}

#[test]
fn a_file_that_cannot_be_recorded_to_is_named() {
    let echo = Echo::start();
    let place = &echo.place;
    fs::write(place.at("text"), "important").unwrap();
    fs::create_dir(place.at("dir")).unwrap();
    let theirs = place.at("theirs");
    fs::write(&theirs, "").unwrap();
    let is_other = chown(&theirs, Some(65534), None).is_ok();
    let fifo = place.at("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let before = place.snapshot();
    for (name, code, words) in [
        ("none/x", 3, "none does not exist; make it"),
        ("text/x", 3, "text is not a directory; check the path"),
        ("fifo", 3, "nobody reads this FIFO; start its reader"),
        ("dir", 4, "it is a directory; name another file"),
        ("app.sock", 4, "it is a socket; name another file"),
        ("theirs", 5, "it belongs to uid 65534; remove it, or"),
    ] {
        if name == "theirs" && !is_other {
            continue;
        }
        let file = place.at(name);
        let options = ["--record", file.to_str().unwrap()];
        let ended = run(&mut super::tap(&options, &place.socket()));
        ended.fails(code, &["cannot record to", name, words]);
    }
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_directory_that_may_not_be_recorded_to_is_named() {
    let Some(other) = OtherUser::new() else {
        return;
    };
    let place = &other.place;
    for (name, mode) in [("dir", 0o755), ("closed", 0o700)] {
        fs::create_dir(place.at(name)).unwrap();
        fs::set_permissions(place.at(name), Permissions::from_mode(mode)).unwrap();
    }
    let _server = Server::started_by(&mut other.serve(&["--echo"]), place.socket());
    for (name, words) in [
        (
            "dir/a",
            "dir (mode 0755, owner uid 0) does not let uid 65534 make a file",
        ),
        (
            "closed/a",
            "closed (mode 0700, owner uid 0) does not let uid 65534 pass",
        ),
    ] {
        let mut command = other.sockeye("tap");
        command.arg("--record").arg(place.at(name));
        run(command.arg(place.socket())).fails(5, &[name, words]);
    }
}

#[test]
fn a_file_system_that_is_mounted_read_only_is_named() {
    in_own_mounts(|| {
        let echo = Echo::start();
        let directory = echo.place.at("read-only");
        fs::create_dir(&directory).unwrap();
        mount_tmpfs(&directory);
        let mut remount = std::process::Command::new("mount");
        run(remount.args(["-o", "remount,ro"]).arg(&directory)).succeeds();
        let file = directory.join("a.pcapng");
        let options = ["--record", file.to_str().unwrap()];
        let ended = run(&mut super::tap(&options, &echo.place.socket()));
        ended.fails(
            5,
            &["a.pcapng", "mounted read-only; name a file on another"],
        );
    });
}
