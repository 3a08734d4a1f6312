//! `open_files` passes fds of the files in its directory, and of no others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use crate::support::{Place, Running, python, skipped};

const CLIENT: &str = r#"
import os, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
try:
    for name in sys.argv[2:]:
        client.send(name.encode() + b"\n")
        answer, fds, flags, _ = socket.recv_fds(client, 100, 2)
        print(answer.decode().strip() or "closed", *[os.read(fd, 100).decode() for fd in fds])
except (BrokenPipeError, ConnectionResetError):
    print("closed")
"#;

/// It imports before, since that user may not read a python3 in the home of root.
const BECOME_NOBODY: &str = r#"
import array, os, socket
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
"#;

/// Fds are refused in the other direction, since Linux 6.16.
const PASSING: &str = r#"
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
try:
    socket.send_fds(client, [b"notes\n"], [0])
    print("accepted")
except PermissionError:
    print("refused")
"#;

#[test]
fn a_client_gets_the_files_of_the_directory() {
    let place = Place::new();
    let (directory, socket) = (place.at("files"), place.socket());
    let at = |name: &str| format!("{directory}/{name}");
    fs::create_dir_all(at("sub")).unwrap();
    fs::write(at("notes"), "some notes").unwrap();
    fs::write(at("sub/more"), "more notes").unwrap();
    fs::write(place.at("secret"), "a secret").unwrap();
    symlink(place.at("secret"), at("link")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();

    let daemon = Running::server("open_files", &[&socket, &directory]);
    let names = [
        "notes",
        "sub/more",
        "missing",
        "../secret",
        "link",
        "fifo",
        "sub",
    ];
    let arguments: Vec<_> = [&socket[..]].into_iter().chain(names).collect();
    if let Some(answers) = python(CLIENT, &arguments) {
        let expected = [
            "ok some notes",
            "ok more notes",
            "No such file or directory (os error 2)",
            "Invalid cross-device link (os error 18)",
            "Too many levels of symbolic links (os error 40)",
            "not a regular file",
            "not a regular file",
        ];
        assert_eq!(answers, expected);
    }
    if let Some(answer) = python(PASSING, &[&socket])
        && can_refuse()
    {
        assert_eq!(answer, ["refused"]);
    }
    daemon.stop();
}

#[test]
fn only_the_named_users_are_served() {
    if !geteuid().is_root() {
        return skipped("only root can be another user");
    }
    let place = Place::new();
    let (directory, socket) = (place.at("files"), place.socket());
    fs::create_dir(&directory).unwrap();
    fs::write(format!("{directory}/notes"), "some notes").unwrap();
    // Any user may reach the socket.
    fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!("{BECOME_NOBODY}{CLIENT}");
    for (users, expected) in [(&["65534"][..], "ok some notes"), (&[], "closed")] {
        let arguments = [&[&socket[..], &directory], users].concat();
        let daemon = Running::server("open_files", &arguments);
        if let Some(answers) = python(&script, &[&socket, "notes"]) {
            assert_eq!(answers, [expected]);
        }
        daemon.stop();
    }
}

fn can_refuse() -> bool {
    let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
    sockeye::ancillary::pass_descriptors(&socket, false).unwrap()
}
