//! Other mount namespaces and root directories.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, socket};

use super::{inode, json, ls, objects};
use crate::support::{Place, Process, python, run, skipped, sockeye, stale_socket};

/// `unshare -m sh -c SCRIPT sh DIRECTORY SOCKEYE`: nobody else sees what it mounts.
fn in_own_mounts(script: &str, place: &Place) -> Option<Command> {
    if run(Command::new("unshare").args(["-m", "true"])).code != Some(0) {
        skipped("unshare -m is not permitted");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-e", "-c", script, "sh"]);
    command.arg(place.dir()).arg(env!("CARGO_BIN_EXE_sockeye"));
    Some(command)
}

#[test]
fn a_bind_mount_leads_to_the_socket() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    fs::create_dir(place.at("directory")).expect("our own place");
    fs::write(place.at("file"), "").expect("our own place");
    let script = r#"
        mount --bind "$1" "$1/directory"; mount --bind "$1/app.sock" "$1/file"
        "$2" ls --json "$1/directory/app.sock"; "$2" ls --json "$1/file""#;
    let Some(mut mounted) = in_own_mounts(script, &place) else {
        return;
    };
    let listed = run(&mut mounted);
    listed.succeeds();
    let found = objects(&listed);
    assert_eq!(found.len(), 2, "{found:#?}");
    for row in found {
        assert_eq!(row["inode"], inode(&listener));
        assert_eq!(row["file"]["state"], "present", "{row}");
        assert_eq!(row["address"], place.socket().to_str().expect("plain"));
    }
}

#[test]
fn a_stale_socket_that_is_a_bind_mount_is_found() {
    let place = Place::new();
    let script = r#"
        cd "$1"
        for kind in unix seqpacket dgram; do
            : > "$kind"; mount --bind "of.$kind" "$kind"; rm "of.$kind"
        done
        : > live; mount --bind app.sock live
        : > plain; : > over; mount --bind plain over
        exec "$2" ls --stale --json --in ."#;
    let Some(mut mounted) = in_own_mounts(script, &place) else {
        return;
    };
    let kinds = [
        ("unix", SocketType::STREAM),
        ("seqpacket", SocketType::SEQPACKET),
        ("dgram", SocketType::DGRAM),
    ];
    for (kind, socket_type) in kinds {
        let dead = socket(AddressFamily::UNIX, socket_type, None).expect("a socket");
        let name = SocketAddrUnix::new(place.at(format!("of.{kind}"))).expect("short");
        bind(&dead, &name).expect("a fresh path");
    }
    let _live = UnixListener::bind(place.socket()).expect("a fresh path");
    let listed = run(&mut mounted);
    listed.succeeds();
    let addresses: Vec<_> = objects(&listed)
        .iter()
        .map(|row| row["address"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(addresses, ["./dgram", "./seqpacket", "./unix"]);
}

/// A server whose socket has the usual path, in a directory that hides ours.
fn server_elsewhere(place: &Place) -> Option<Process> {
    let script = r#"
        mount -t tmpfs sockeye "$1"
        exec "$2" serve --echo "$1/hidden-ls.sock""#;
    let server = Process::spawn_piped(&mut in_own_mounts(script, place)?);
    server
        .stderr
        .line("it listens", |line| line.contains("listening"));
    Some(server)
}

#[test]
fn the_same_path_in_another_mount_namespace_is_no_match() {
    let place = Place::with_socket("hidden-ls.sock");
    let Some(server) = server_elsewhere(&place) else {
        return;
    };
    let path = place.socket();
    let shown = path.to_str().expect("plain");
    let who = format!("{}/sockeye", server.id());
    run(&mut ls([&path])).fails(
        3,
        &[shown, "nothing is there", &who, "mount namespace", "why"],
    );
    stale_socket(&path);
    let listed = run(&mut ls([&path]));
    // Where somebody may be hidden, even a stale socket is not certain.
    if listed.code != Some(7) {
        listed.fails(3, &["a socket file", &who, "mount namespace"]);
    }
    let listed = run(ls(["-o", "address,file"]).args(["--pid", &server.id().to_string()]));
    let text = listed.text();
    let row = text.lines().find(|line| line.contains(shown));
    let row = row.unwrap_or_else(|| panic!("{text}"));
    assert!(row.contains("hidden-ls.sock (elsewhere)"), "{text}");
    assert!(row.ends_with("present elsewhere"), "{text}");

    let ours = json_here(&path);
    assert_eq!(ours, None, "the one elsewhere is no match");
    fs::remove_file(&path).expect("our own place");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    assert_eq!(json_here(&path), Some(inode(&listener)));
    let text = run(&mut ls([&path])).text();
    assert!(!text.contains("elsewhere"), "{text}");
}

/// The one socket that `ls` finds at the path.
#[track_caller]
fn json_here(path: &Path) -> Option<u64> {
    let found = objects(&run(ls(["--json"]).arg(path)));
    assert!(found.len() <= 1, "{found:#?}");
    found.first()?["inode"].as_u64()
}

#[test]
fn what_was_removed_elsewhere_was_not_here() {
    let place = Place::with_socket("hidden-removed.sock");
    let script = r#"
        mount -t tmpfs sockeye "$1"
        (while ! test -S "$1/hidden-removed.sock"; do :; done; rm "$1/hidden-removed.sock"; echo removed) &
        exec "$2" serve --echo "$1/hidden-removed.sock""#;
    let Some(mut server) = in_own_mounts(script, &place) else {
        return;
    };
    let server = Process::spawn_piped(&mut server);
    server.stdout.line("removed", |line| line == "removed");
    run(&mut ls([&place.socket()])).fails(3, &["nothing is there", "mount namespace"]);
    let listed = run(&mut ls([
        "-o",
        "address",
        "--pid",
        &server.id().to_string(),
    ]));
    let text = listed.text();
    assert!(
        text.contains("hidden-removed.sock (removed elsewhere)"),
        "{text}"
    );
}

#[test]
fn holders_are_unknown_without_proc_and_the_kernel_tells_what_is_stale() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let script = r#"
        umount -l /proc || exit 9
        code=0; "$2" ls --json "$1/app.sock" || code=$?; echo $code
        code=0; "$2" ls --json --stale --in "$1" || code=$?; echo $code"#;
    stale_socket(&place.at("left behind"));
    let Some(mut blind) = in_own_mounts(script, &place) else {
        return;
    };
    let listed = run(&mut blind);
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    let text = listed.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let row: serde_json::Value = serde_json::from_str(lines[0]).expect("an object");
    assert_eq!(row["inode"], inode(&listener));
    assert!(row["holders"].is_null(), "{row}");
    let stale: serde_json::Value = serde_json::from_str(lines[2]).expect("an object");
    assert_eq!(stale["state"], "stale", "{stale}");
    assert_eq!((lines[1], lines[3]), ("7", "0"), "{text}");
    assert_eq!(listed.stderr.matches("/proc is not mounted").count(), 1);
}

#[test]
fn a_pid_namespace_hides_holders() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    stale_socket(&place.at("left behind"));
    let own = ["-p", "-f", "--mount-proc"];
    if run(Command::new("unshare").args(own).arg("true")).code != Some(0) {
        return skipped("unshare -p is not permitted");
    }
    let contained = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(own).arg(sockeye().get_program()).arg("ls");
        run(command.args(arguments))
    };
    let path = place.socket();
    let listed = contained(&["--json", path.to_str().expect("plain")]);
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    listed.explains(&["container"]);
    let row = &objects(&listed)[0];
    assert_eq!(row["inode"], inode(&listener));
    assert!(row["holders"].is_null(), "unknown, not nobody: {row}");

    let dir = place.dir().to_str().expect("plain");
    let listed = contained(&["--json", "--stale", "--in", dir]);
    listed.succeeds();
    let found = objects(&listed);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["state"], "stale", "the kernel was asked");
}

#[test]
fn another_network_namespace_is_not_taken_for_dead() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    if run(Command::new("unshare").args(["-n", "true"])).code != Some(0) {
        return skipped("unshare -n is not permitted");
    }
    let mut command = Command::new("unshare");
    command.arg("-n").arg(sockeye().get_program());
    command.args(["ls", "--stale", "--json", "--in"]);
    let listed = run(command.arg(place.dir()));
    assert_eq!(listed.text(), "", "it lives: {listed:#?}");
    assert_eq!(listed.code, Some(3), "{listed:#?}");
    assert_eq!(json([&place.socket()]).len(), 1);
}

#[test]
fn a_socket_on_its_way_in_a_message_is_held_by_nobody() {
    let place = Place::new();
    let script = "import os, socket, sys
carrier, end = socket.socketpair()
left, right = socket.socketpair()
socket.send_fds(carrier, [b'x'], [left.fileno()])
print(os.stat(left.fileno()).st_ino); left.close(); print('sent'); sys.stdin.read()";
    let Some(mut script) = python(script) else {
        return;
    };
    let process = Process::spawn_piped(&mut script);
    let lines = process.stdout.first_lines(2);
    // Even root may be denied the first process; who stands in for it here may be read.
    let script = r#"mount --bind "/proc/$$" /proc/1; exec "$2" ls --json --inode "$3""#;
    let Some(mut mounted) = in_own_mounts(script, &place) else {
        return;
    };
    let listed = run(mounted.arg(&lines[0]));
    let row = &objects(&listed)[0];
    let first = fs::read_link("/proc/self/ns/pid").expect("our own");
    if first == Path::new("pid:[4026531836]") {
        assert_eq!(row["holders"], serde_json::json!([]), "{listed:#?}");
        assert_eq!(listed.code, Some(0), "{listed:#?}");
    } else {
        // In a container, others may have it.
        assert!(row["holders"].is_null(), "{listed:#?}");
    }
}
