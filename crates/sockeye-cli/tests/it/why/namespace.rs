//! Servers in other namespaces.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::{LISTENER, foreign, own_pid, why};
use crate::support::{Place, Process, is_root, python, skipped, stale_socket};

/// A shell command that hides a directory from the rest of the world.
fn mount_on(dir: &Path) -> String {
    format!("mount -t tmpfs none {}; ", dir.display())
}

/// The mount namespace of a process, as `why` shows it.
fn mount_namespace(process: &Process) -> String {
    let link = fs::read_link(format!("/proc/{}/ns/mnt", process.id())).expect("we are root");
    link.to_str().expect("plain").to_owned()
}

#[test]
fn a_server_in_another_network_namespace_is_named() {
    let place = Place::with_socket("hidden-network.sock");
    let Some(server) = foreign(&["-n"], "", place.socket().as_os_str()) else {
        return;
    };
    let pid = format!("pid {} (", server.id());
    let told = why(place.socket(), &["--connect"]);
    told.is(0, "none", &[&pid, "no obstacle for a path"]);
    let name = format!("@sockeye-test-{}-netns", std::process::id());
    let Some(server) = foreign(&["-n"], "", name.as_ref()) else {
        return;
    };
    let pid = format!("pid {} (", server.id());
    why(&name, &[]).is(3, "network-namespace", &[&pid, "another network namespace"]);
    why(&name, &["--connect"]).is(3, "network-namespace", &["refused"]);
}

#[test]
fn a_server_in_another_mount_namespace_is_named() {
    let place = Place::with_socket("hidden-namespace.sock");
    let mount = mount_on(place.dir());
    let Some(server) = foreign(&["-m"], &mount, place.socket().as_os_str()) else {
        return;
    };
    let pid = format!("pid {} (", server.id());
    let namespace = mount_namespace(&server);
    let enter = format!("nsenter -m -t {}", server.id());
    let words = [&pid, &*namespace, "another mount namespace", &enter];
    why(place.socket(), &[]).is(3, "mount-namespace", &words);
    // A directory that is missing here is no reason not to look there.
    let below = place.at("run/hidden-below.sock");
    let mount = format!("{mount}mkdir {}/run; ", place.dir().display());
    let Some(other) = foreign(&["-m"], &mount, below.as_os_str()) else {
        return;
    };
    let words_below = [&*format!("pid {} (", other.id()), "/run does not exist"];
    why(&below, &[]).is(3, "mount-namespace", &words_below);
    // As a container runtime leaves it where the socket was missing.
    fs::create_dir(place.socket()).expect("our own place");
    let told = why(place.socket(), &[]);
    told.is(3, "mount-namespace", &words);
    assert!(told.text.contains("is a directory"), "{}", told.text);
    fs::remove_dir(place.socket()).expect("our own place");
    // A file that was left behind here explains less than the server there.
    stale_socket(&place.socket());
    for options in [&[] as &[&str], &["--connect"]] {
        why(place.socket(), options).is(3, "mount-namespace", &words);
    }
    fs::remove_file(place.socket()).expect("our own place");
    // With another server here, that one only is worth a word.
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let told = why(place.socket(), &[]);
    told.is(0, "none", &[&own_pid(), &pid, &namespace]);
    assert_eq!(told.steps("namespace"), ["note"]);
}

#[test]
fn a_server_outside_of_the_mount_namespace_of_the_process_is_named() {
    let place = Place::with_socket("hidden-client.sock");
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let name = format!("@sockeye-test-{}-client", std::process::id());
    let Some(client) = foreign(&["-m"], &mount_on(place.dir()), name.as_ref()) else {
        return;
    };
    let client = client.id().to_string();
    let words = [&*own_pid(), "another mount namespace", "share the socket's"];
    why(place.socket(), &["--pid", &client]).is(3, "mount-namespace", &words);
    why(place.socket(), &[]).is(0, "none", &[&own_pid()]);
}

#[test]
fn a_server_in_another_root_directory_is_named() {
    if !is_root() {
        return skipped("not root");
    }
    let Some(mut command) = python(LISTENER) else {
        return;
    };
    let place = Place::new();
    let name = format!("/sockeye-test-{}-chroot", std::process::id());
    let server = Process::spawn_piped(command.arg(&name).arg(place.dir()));
    server.stdout.first_lines(1);
    let outer = format!("{}{name}", place.dir().display());
    let words = [
        &*format!("pid {} (", server.id()),
        "another root directory",
        &outer,
    ];
    why(&name, &[]).is(3, "root-directory", &words);
    why(&outer, &["--connect"]).is(0, "none", &[]);
}
