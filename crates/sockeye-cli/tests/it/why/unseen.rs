//! What cannot be seen is not told as a fact.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::{Nobody, Told, foreign, kind, listening};
use crate::support::{
    Place, Process, as_other_user, is_root, optional_peer, python, set_mode, skipped, stale_socket,
};

/// Somebody who may look into a place, and the server there that nobody else has before their eyes.
fn hidden_server(socket: &'static str) -> Option<(Nobody, Place, Process)> {
    let place = Place::with_socket(socket);
    place.set_mode(0o755);
    let mount = format!("mount -t tmpfs none {}; ", place.dir().display());
    let server = foreign(&["-m"], &mount, place.socket().as_os_str())?;
    Some((Nobody::new()?, place, server))
}

#[test]
fn a_stale_file_is_stale_whatever_is_hidden() {
    let place = Place::new();
    place.set_mode(0o755);
    // A name of its own: into a running server of the same name nobody may look, and so may not tell
    // the two files apart.
    let path = place.at("nobodys-stale.sock");
    stale_socket(&path);
    set_mode(&path, 0o666);
    let Some(nobody) = Nobody::new() else {
        return;
    };
    // The kernel knows, whatever may be hidden from us.
    for options in [&[] as &[&str], &["--connect"]] {
        let told = nobody.why(&path, options);
        told.is(3, "stale", &["its server is gone"]);
    }
}

/// It may be in another mount namespace, where restarting its server would help nobody.
#[test]
fn a_file_that_was_removed_may_be_in_another_mount_namespace() {
    if !is_root() {
        return skipped("not root, so there is no other user");
    }
    let (place, _listener) = listening();
    fs::remove_file(place.socket()).expect("our own place");
    let Some(nobody) = Nobody::new() else {
        return;
    };
    let words = [
        "does not exist",
        "removed or renamed",
        "mount namespace",
        "as root",
    ];
    nobody.why(place.socket(), &[]).is(7, "unplaced", &words);
}

#[test]
fn a_hidden_server_may_be_in_another_mount_namespace() {
    let Some((nobody, place, _server)) = hidden_server("hidden-mount.sock") else {
        return;
    };
    let path = place.socket();
    let words = ["uid 0 that you may not see", "mount namespace", "as root"];
    for options in [&[] as &[&str], &["--connect"]] {
        let told = nobody.why(&path, options);
        told.is(7, "unplaced", &words);
        assert!(!told.text.contains("restart"), "{}", told.text);
    }
    fs::write(&path, "").expect("our own place");
    nobody
        .why(&path, &["--connect"])
        .is(7, "unplaced", &["regular file", "mount namespace"]);
    fs::remove_file(&path).expect("our own place");
    // A socket file here has another inode number, so it is not that of the server.
    stale_socket(&path);
    set_mode(&path, 0o666);
    for options in [&[] as &[&str], &["--connect"]] {
        nobody.why(&path, options).is(3, "stale", &words[1..2]);
    }
}

/// Files of two file systems can have the same number, or be one file that both show.
#[test]
fn a_file_of_another_device_is_unclear() {
    const STALE: &str = "
import os, socket, sys
name, inode = sys.argv[1:3]
socket.socket(socket.AF_UNIX).bind(name)
os.chmod(name, 0o666)
if os.stat(name).st_ino != int(inode): sys.exit('the numbers differ')
os.execvp(sys.argv[3], sys.argv[3:])
";
    let Some((nobody, place, server)) = hidden_server("hidden-device.sock") else {
        return;
    };
    let (Some(unshare), Some(python)) = (optional_peer("unshare"), python(STALE)) else {
        return;
    };
    let theirs = format!("/proc/{}/root{}", server.id(), place.socket().display());
    let inode = fs::metadata(theirs).expect("we are root").ino().to_string();
    let told = Told::by(|| {
        let mut command = Command::new(&unshare);
        let mount = format!("mount -t tmpfs none {}; exec \"$@\"", place.dir().display());
        command
            .args(["-m", "sh", "-ec", &mount, "sh"])
            .arg(python.get_program())
            .args(python.get_args())
            .arg(place.socket())
            .arg(&inode);
        let why = as_other_user(nobody.copy.as_os_str()).expect("as before");
        command.arg(why.get_program()).args(why.get_args());
        command.arg("why").arg(place.socket());
        command
    });
    told.is(4, "unclear", &["uid 0", "mount namespace"]);
}

#[test]
fn a_server_outside_of_the_container_is_not_seen() {
    let place = Place::with_socket("hidden-container.sock");
    let Some(server) = foreign(&["-n"], "", place.socket().as_os_str()) else {
        return;
    };
    let Some(unshare) = optional_peer("unshare") else {
        return;
    };
    let ask = |options: &[&str], address: &OsStr| {
        Told::by(|| {
            let mut command = Command::new(&unshare);
            command
                .args(["-p", "-n", "-f", "--mount-proc"])
                .arg(env!("CARGO_BIN_EXE_sockeye"))
                .arg("why")
                .args(options)
                .arg(address);
            command
        })
    };
    let path = place.socket();
    let told = ask(&[], path.as_os_str());
    let words = ["an open socket", "--connect", "outside of any container"];
    told.is(7, "nobody-seen", &words);
    assert!(!told.text.contains("as root"), "{}", told.text);
    ask(&[], &kind("dgram:", &path)).is(3, "kind", &["not a datagram one"]);
    let settle = |address: &OsStr| ask(&["--connect"], address);
    settle(path.as_os_str()).is(0, "none", &["connect succeeds"]);
    settle(&kind("dgram:", &path)).is(3, "kind", &["not a datagram one"]);
    // Those that asked wait as well.
    let address = SocketAddrUnix::new(&path).expect("short");
    let one_more = || {
        let (unix, stream) = (AddressFamily::UNIX, SocketType::STREAM);
        let client = socket_with(unix, stream, SocketFlags::NONBLOCK, None).expect("a socket");
        connect(&client, &address).ok().map(|()| client)
    };
    let waiting: Vec<_> = std::iter::from_fn(one_more).collect();
    settle(path.as_os_str()).is(6, "full", &["backlog is full"]);
    drop((server, waiting));
    ask(&[], path.as_os_str()).is(3, "stale", &[]);
}
