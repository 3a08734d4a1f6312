//! Which sockets are found.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, id};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use serde_json::Value;

use super::{inode, json, listen_abstract, ls, objects};
use crate::support::{Place, Process, eventually, python, run};

/// `ls` finds exactly this listener at the path.
#[track_caller]
fn finds(path: &Path, listener: &UnixListener) {
    let found = json([path]);
    assert_eq!(found.len(), 1, "{}: {found:#?}", path.display());
    assert_eq!(found[0]["inode"], inode(listener), "{}", path.display());
}

#[test]
fn a_socket_is_found_by_the_identity_of_its_file() {
    let place = Place::new();
    let path = place.socket();
    let listener = UnixListener::bind(&path).expect("a fresh path");
    symlink("app.sock", place.at("symbolic")).expect("our own place");
    fs::hard_link(&path, place.at("hard")).expect("our own place");
    fs::create_dir(place.at("below")).expect("our own place");
    for name in ["symbolic", "hard", "below/../app.sock"] {
        finds(&place.at(name), &listener);
    }
    let mut relative = ls(["--json", "app.sock"]);
    let found = run(relative.current_dir(place.dir()));
    assert_eq!(objects(&found)[0]["inode"], inode(&listener));
    fs::rename(&path, place.at("renamed")).expect("our own place");
    finds(&place.at("renamed"), &listener);
}

#[test]
fn a_socket_that_was_bound_by_a_relative_name_is_found() {
    let place = Place::new();
    let script = "import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind('listed.sock'); s.listen(1); print('ready'); sys.stdin.read()";
    let Some(mut server) = python(script) else {
        return;
    };
    let server = Process::spawn_piped(server.current_dir(place.dir()));
    server.stdout.line("ready", |line| line == "ready");
    let found = json([&place.at("listed.sock")]);
    assert_eq!(found[0]["holders"][0]["pid"], server.id());
    assert_eq!(found[0]["address"], "listed.sock");
    assert_eq!(found[0]["file"]["state"], "present");
    fs::remove_file(place.at("listed.sock")).expect("our own place");
    let who = format!("{}/", server.id());
    let words = ["nothing is there", &who, "relative path listed.sock"];
    run(&mut ls([&place.at("listed.sock")])).fails(3, &words);
}

#[test]
fn names_may_have_any_bytes() {
    let place = Place::new();
    for name in [
        &b"with  two spaces"[..],
        b"new\nline\x1b[2J",
        b"not\xffutf8",
    ] {
        let path = place.at(OsStr::from_bytes(name));
        let listener = UnixListener::bind(&path).expect("a fresh path");
        finds(&path, &listener);
        let found = json([&path]);
        let bytes = path.as_os_str().as_bytes();
        let is_plain = path.to_str().is_some_and(|path| !path.contains('\n'));
        let encoded = (!is_plain).then(|| STANDARD.encode(bytes));
        assert_eq!(
            found[0].get("address_base64"),
            encoded.map(Value::from).as_ref()
        );
        // What is printed can be typed.
        let printed = found[0]["address"].as_str().expect("a name");
        // A child of another test may hold the socket for a moment, so not all is compared.
        assert_eq!(json([printed])[0]["inode"], found[0]["inode"]);
        let text = run(&mut ls([&path])).text();
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn abstract_names_are_found() {
    let name = format!("sockeye-test-{}\0\u{1}", id());
    let listener = listen_abstract(name.as_bytes());
    let written = format!("@sockeye-test-{}\\x00\\x01", id());
    let found = json([&written]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["inode"], inode(&listener));
    assert_eq!(found[0]["address"], written);
    assert!(found[0]["file"].is_null());
}

#[test]
fn replaced_and_removed_files_are_named() {
    let place = Place::new();
    let path = place.socket();
    let old = UnixListener::bind(&path).expect("a fresh path");
    // Its inode number is not given to the next as long as the socket lives.
    fs::remove_file(&path).expect("our own place");
    let state = |listener: &UnixListener| {
        let found = json([&path]);
        let row = found.iter().find(|row| row["inode"] == inode(listener));
        row.expect("it lives")["file"]["state"].clone()
    };
    assert_eq!(state(&old), "removed");
    symlink("app.sock", place.at("link")).expect("our own place");
    symlink(place.at("link"), place.at("to link")).expect("our own place");
    let found = json([&place.at("to link")]);
    assert_eq!(found[0]["inode"], inode(&old));
    assert_eq!(found[0]["file"]["state"], "removed");
    let new = UnixListener::bind(&path).expect("free again");
    assert_eq!(state(&old), "replaced");
    assert_eq!(state(&new), "present");
    let text = run(&mut ls([&path])).text();
    assert_eq!(text.matches("app.sock (replaced) ").count(), 1, "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn a_kind_counts_where_it_is_written() {
    let place = Place::new();
    let _socket = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let path = place.socket();
    let path = path.to_str().expect("plain");
    assert_eq!(json([path]).len(), 1);
    assert_eq!(json([&format!("dgram:{path}")]).len(), 1);
    run(&mut ls([&format!("unix:{path}")])).fails(3, &[path]);
    run(&mut ls(["--kind", "stream", path])).fails(3, &[]);
}

#[test]
fn filters_select_among_all_sockets() {
    let (stream, other) = UnixStream::pair().expect("a pair");
    let (datagram, _far) = UnixDatagram::pair().expect("a pair");
    let number = |socket: &dyn std::os::fd::AsFd| inode(socket.as_fd()).to_string();
    let (first, second) = (number(&stream), number(&other));
    let pid = id().to_string();
    let first_inode = inode(&stream);
    let has = |arguments: &[&str], inode: &str| {
        let inode: u64 = inode.parse().expect("a number");
        let rows = json(arguments);
        rows.iter().any(|row| row["inode"] == inode)
    };
    assert_eq!(json(["--inode", &first, "--inode", &second]).len(), 2);
    assert!(has(&["--pid", &pid], &first));
    assert!(has(&["--pid", &pid, "--kind", "stream"], &first));
    assert!(!has(&["--pid", &pid, "--kind", "dgram"], &first));
    let both = ["--pid", &pid, "--kind", "dgram", "--kind", "stream"];
    assert!(has(&both, &first) && has(&both, &number(&datagram)));
    let user = rustix::process::geteuid().as_raw().to_string();
    assert!(has(&["--pid", &pid, "--user", &user], &first));
    run(&mut ls(["--inode", &first, "--user", "4000000001"])).fails(3, &["nothing"]);
    let listed = run(&mut ls(["--all", "--json"]));
    assert!(
        objects(&listed)
            .iter()
            .any(|row| row["inode"] == first_inode)
    );
    let listed = run(&mut ls(["-l", "--json"]));
    assert!(
        objects(&listed)
            .iter()
            .all(|row| row["state"] == "listening")
    );
}

#[test]
fn nothing_there_is_exit_3_and_what_is_missing_is_named() {
    let place = Place::new();
    let path = place.at("none");
    let shown = path.to_str().expect("plain");
    run(&mut ls([&path])).fails(3, &[shown, "nothing is there", "sockeye why"]);
    fs::write(place.at("file"), "").expect("our own place");
    run(&mut ls([&place.at("file")])).fails(3, &["regular file"]);
    symlink("circle", place.at("circle")).expect("our own place");
    run(&mut ls([&place.at("circle")])).fails(3, &["circle of them"]);
    for at in 0..50 {
        let (link, target) = (format!("link{at}"), format!("link{}", at + 1));
        symlink(target, place.at(link)).expect("our own place");
    }
    run(&mut ls([&place.at("link0")])).fails(3, &["too many symbolic links"]);
    symlink("nowhere", place.at("dangling")).expect("our own place");
    run(&mut ls([&place.at("dangling")])).fails(3, &["link to nothing"]);
    run(&mut ls([&place.at("file/below")])).fails(3, &["not a directory"]);
    run(&mut ls(["--json".as_ref(), path.as_os_str()])).fails(3, &[]);
    let words = ["@sockeye-test-nobody", "in this network namespace"];
    run(&mut ls(["@sockeye-test-nobody"])).fails(3, &words);
    run(&mut ls(["--pid", "2147483647"])).fails(3, &["no process 2147483647"]);
    let mut without = Process::spawn(Command::new("sleep").arg("60"));
    let pid = without.id().to_string();
    let words = format!("process {pid} (sleep) has no UNIX socket open");
    eventually("it is sleep by now", || {
        let listed = run(&mut ls(["--pid", &pid]));
        listed.stderr.contains(&words).then_some(())
    });
    without.signal(rustix::process::Signal::KILL);
    without.wait();
    run(&mut ls(["--watch", "app.sock"])).fails(2, &["address first", "--watch=2s"]);
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let listed = run(&mut ls([&place.socket(), &path]));
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    listed.explains(&[path.to_str().expect("plain")]);
}

#[test]
fn a_client_in_another_network_namespace_is_found() {
    let works = run(Command::new("unshare").args(["-n", "true"])).code == Some(0);
    if !works {
        return crate::support::skipped("unshare -n is not permitted");
    }
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let mut command = Command::new("unshare");
    command.args(["-n", env!("CARGO_BIN_EXE_sockeye"), "connect"]);
    let client = Process::spawn_piped(command.arg(place.socket()));
    let (accepted, _) = listener.accept().expect("it comes");
    let found = json([&place.socket()]);
    let row = found.iter().find(|row| row["inode"] == inode(&accepted));
    let row = row.expect("the accepted side");
    assert_eq!(row["peer"]["holders"][0]["pid"], client.id());
    assert_ne!(row["netns"], found[0]["netns"], "that of the client");
    let here = run(&mut ls([
        "--json",
        "--netns",
        "current",
        place.socket().to_str().expect("plain"),
    ]));
    assert_eq!(objects(&here).len(), 1, "{here:#?}");
    // Only the accepted end leads to the namespace then.
    drop(client);
    eventually("the client is gone", || {
        let found = json([&place.socket()]);
        let row = found.iter().find(|row| row["inode"] == inode(&accepted));
        (row.expect("the accepted side")["state"] == "closed").then_some(())
    });
}

#[test]
fn a_name_that_begins_with_a_dash_is_shown_as_it_can_be_typed() {
    let place = Place::new();
    let script = "import socket, sys
held = [socket.socket(socket.AF_UNIX) for name in sys.argv[1:]]
for s, name in zip(held, sys.argv[1:]): s.bind(name); s.listen()
print('ready', flush=True); sys.stdin.read()";
    let Some(mut server) = python(script) else {
        return;
    };
    let names = ["-x", "--json"];
    server.current_dir(place.dir());
    let server = Process::spawn_piped(server.args(names));
    server.stdout.line("ready", |line| line == "ready");
    for name in names.map(|name| format!("./{name}")) {
        let found = run(ls([&name]).current_dir(place.dir()));
        let text = String::from_utf8(found.stdout).expect("text");
        assert!(text.contains(&format!(" {name} ")), "{text}");
        let found = run(ls(["--json", &name]).current_dir(place.dir()));
        assert_eq!(objects(&found)[0]["address"], name.as_str());
    }
    let found = run(ls(["--", "-gone"]).current_dir(place.dir()));
    assert!(found.stderr.contains("why ./-gone"), "{}", found.stderr);
}

#[test]
fn the_name_of_a_process_keeps_its_blanks() {
    let place = Place::new();
    let path = place.socket();
    let script = "import socket, sys
open('/proc/self/comm', 'w').write('nginx ')
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
print('ready', flush=True); sys.stdin.read()";
    let Some(mut server) = python(script) else {
        return;
    };
    let server = Process::spawn_piped(server.arg(&path));
    server.stdout.line("ready", |line| line == "ready");
    let found = run(&mut ls([&path]));
    let text = String::from_utf8(found.stdout).expect("text");
    assert!(text.contains("/\"nginx \" "), "{text}");
    assert_eq!(json([&path])[0]["holders"][0]["comm"], "nginx ");
}
