//! The row of a socket, as text and as JSON.

use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::id;

use super::{connected, fd, inode, is_ours, json, listening, ls, our_fds};
use rustix::process::Signal;

use crate::support::{
    Place, Process, Server, as_other_user, copy_of_sockeye, eventually, is_root, python, run,
    skipped,
};

#[test]
fn a_listener_is_followed_by_its_connections_and_the_pending_ones() {
    let (_place, listener, path) = listening();
    let (client, accepted) = connected(&listener);
    let waiting = UnixStream::connect(&path).expect("the backlog has room");

    let found = json([&path]);
    let [first, rest @ ..] = &*found else {
        panic!("{found:#?}");
    };
    assert_eq!(first["kind"], "stream");
    assert_eq!(first["state"], "listening");
    assert_eq!(first["address"], path);
    assert_eq!(first["inode"], inode(&listener));
    let file = rustix::fs::stat(&path).expect("bound");
    assert_eq!(
        first["file"],
        serde_json::json!({"dev": file.st_dev, "ino": file.st_ino, "state": "present"})
    );
    assert_eq!(first["uid"], rustix::process::geteuid().as_raw());
    assert_eq!(first["recv_queue"], 1, "one waits");
    assert!(first["send_queue"].is_u64());
    let namespace = rustix::fs::stat("/proc/self/ns/net").expect("there");
    assert_eq!(first["netns"], namespace.st_ino);
    assert!(first["peer"].is_null());
    is_ours(&first["holders"], fd(&listener));
    let keys: Vec<&String> = first.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys.len(),
        11,
        "no address_base64 where it is text: {keys:?}"
    );

    assert_eq!(rest.len(), 2, "{rest:#?}");
    let of = |state: &str| rest.iter().find(|row| row["state"] == state).expect(state);
    let row = of("connected");
    assert_eq!(row["inode"], inode(&accepted));
    assert_eq!(row["address"], path);
    is_ours(&row["holders"], fd(&accepted));
    assert_eq!(row["peer"]["inode"], inode(&client));
    assert!(row["peer"]["address"].is_null(), "it has none");
    is_ours(&row["peer"]["holders"], fd(&client));
    assert_eq!(row["peer"]["uid"], rustix::process::geteuid().as_raw());
    let row = of("pending");
    assert_eq!(row["inode"], inode(&waiting));
    assert!(row["address"].is_null());
    assert!(row["peer"]["inode"].is_null(), "it is none yet");
    assert_eq!(row["peer"]["address"], path);
    is_ours(&row["peer"]["holders"], fd(&listener));
}

#[test]
fn text_names_the_process_at_the_other_end() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let _pair = connected(&listener);
    let _waiting = UnixStream::connect(place.socket()).expect("the backlog has room");
    let listed = run(ls([&place.socket()]).env("LC_ALL", "C"));
    listed.succeeds();
    let text = listed.text();
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut lines = text.lines();
    assert_eq!(
        lines.next().map(words).expect("a header"),
        [
            "KIND",
            "STATE",
            "ADDRESS",
            "RECV-Q",
            "SEND-Q",
            "USER",
            "PID/COMMAND",
            "FD",
            "PEER",
            "PEER-USER"
        ]
    );
    let ours = format!("{}/", id());
    let first = lines.next().expect("the listener");
    assert!(first.starts_with("stream  "), "{text}");
    assert!(words(first)[6].starts_with(&ours), "{text}");
    assert_eq!(words(first)[8..], ["-", "-"], "{text}");
    for line in lines.clone() {
        assert!(line.starts_with("  stream  "), "under it: {text}");
        let mut cells = line.rsplit("  ").filter(|cell| !cell.is_empty());
        let user = cells.next().expect("PEER-USER").trim();
        assert!(user != "-" && user != "?", "{text}");
        let peer = cells.next().expect("PEER").trim();
        assert!(peer.starts_with(&ours), "{text}");
    }
    let states: Vec<String> = lines.map(|line| words(line)[1].clone()).collect();
    assert_eq!(states.len(), 2, "{text}");
    assert!(states.contains(&"pending".to_owned()), "{text}");
    assert!(states.contains(&"connected".to_owned()), "{text}");
}

#[test]
fn the_user_of_a_client_is_shown() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--mode", "0666"]);
    place.set_mode(0o755);
    let program = copy_of_sockeye(&place);
    let Some(mut client) = as_other_user(program.as_os_str()).filter(|_| is_root()) else {
        return skipped("not root, or no setpriv");
    };
    let _client = Process::spawn_piped(client.arg("connect").arg(&server.path));
    let listed = eventually("it is accepted", || {
        let listed = run(ls(["-o", "state,user,peer-user"]).arg(&server.path)).text();
        listed.contains("connected").then_some(listed)
    });
    let row = listed.lines().find(|line| line.contains("connected"));
    let cells: Vec<&str> = row.expect("a row").split_whitespace().collect();
    let [_, own, peer] = cells[..] else {
        panic!("{listed}");
    };
    assert_eq!((own, peer), ("root", "nobody"), "{listed}");
    let listed = run(ls(["--json"]).arg(&server.path));
    let row = super::objects(&listed).pop().expect("a row");
    assert_eq!(row["peer"]["uid"], 65534);
}

#[test]
fn a_process_that_is_stopped_is_marked() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let look = || {
        let listed = run(ls(["-o", "pid"]).arg(&server.path)).text();
        let holder = &json([&server.path])[0]["holders"][0];
        (listed.contains("(stopped)"), holder["stopped"] == true)
    };
    assert_eq!(look(), (false, false));
    server.process.signal(Signal::STOP);
    eventually("it is stopped", || (look() == (true, true)).then_some(()));
    server.process.signal(Signal::CONT);
    eventually("it goes on", || (look() == (false, false)).then_some(()));
}

#[test]
fn a_pair_that_one_process_has_to_itself_is_listed_on_request() {
    let script = "import os, socket, sys
own = socket.socketpair(); shared = socket.socketpair()
if os.fork(): own[0].send(b'x'); print(os.getpid(), flush=True); sys.stdin.read(); os._exit(0)
for s in own: s.close()
shared[1].recv(1)";
    let Some(mut script) = python(script) else {
        return;
    };
    let process = Process::spawn_piped(&mut script);
    let pid = process.stdout.line("its pid", |_| true);
    let pairs = |more: &[&str]| {
        let listed = run(ls(["--connections", "--json", "--pid", &pid]).args(more));
        super::objects(&listed).len()
    };
    eventually("the child has let go", || (pairs(&[]) == 1).then_some(()));
    assert_eq!(pairs(&["-a"]), 2);
}

#[test]
fn every_named_listener_and_its_connections_are_listed_without_arguments() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let (client, accepted) = connected(&listener);
    // Somebody else's may be incomplete.
    let listed = run(&mut ls(["--json"]));
    assert!(matches!(listed.code, Some(0 | 7)), "{listed:#?}");
    let found = super::objects(&listed);
    let at = |inode: u64| found.iter().position(|row| row["inode"] == inode);
    let listener_at = at(inode(&listener)).expect("the listener");
    assert_eq!(at(inode(&accepted)), Some(listener_at + 1));
    assert_eq!(at(inode(&client)), None, "it stands in peer");
}

#[test]
fn a_connection_that_ended_has_no_peer() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let (client, accepted) = connected(&listener);
    drop(client);
    let found = json(["--inode", &inode(&accepted).to_string()]);
    assert_eq!(found[0]["state"], "closed");
    assert!(found[0]["peer"].is_null());
}

#[test]
fn a_shared_socket_has_several_holders() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let again = ours.try_clone().expect("a descriptor");
    let found = json(["--inode", &inode(&ours).to_string()]);
    let mut fds = our_fds(&found[0]["holders"]);
    fds.sort_unstable();
    let mut expected = [fd(&ours), fd(&again)];
    expected.sort_unstable();
    assert_eq!(fds, expected);
    assert_eq!(found[0]["peer"]["inode"], inode(&theirs));
}

#[test]
fn a_listener_that_was_shut_down_is_marked() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let state = || run(ls(["-H", "-o", "state"]).arg(place.socket())).text();
    assert_eq!(state(), "listening\n");
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Read).expect("listening");
    assert_eq!(state(), "listening (shut down)\n");
    assert_eq!(json([&place.socket()])[0]["state"], "listening");
}

#[test]
fn a_datagram_socket_is_followed_by_its_senders() {
    let place = Place::new();
    let server = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let client = UnixDatagram::unbound().expect("a socket");
    client.connect(place.socket()).expect("bound");
    let found = json([&place.socket()]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0]["kind"], "datagram");
    assert_eq!(found[0]["inode"], inode(&server));
    assert_eq!(found[0]["state"], "bound");
    assert_eq!(found[1]["inode"], inode(&client));
    assert_eq!(found[1]["peer"]["inode"], inode(&server));
    let text = run(&mut ls([&place.socket()])).text();
    let last = text.lines().last().expect("a row");
    assert!(last.starts_with("  datagram"), "{text}");
    assert!(last.contains(&format!("{}/", id())), "{text}");
}

#[test]
fn columns_and_fields_can_be_chosen() {
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let inode = inode(&ours).to_string();
    let listed = run(&mut ls([
        "--inode",
        &inode,
        "-H",
        "-o",
        "inode,KIND,Recv-Q",
    ]));
    listed.succeeds();
    assert_eq!(listed.text(), format!("{inode}  stream  0\n"));
    let found = json(["--inode", &inode, "--columns", "kind,recv_queue"]);
    assert_eq!(found[0].to_string(), r#"{"kind":"stream","recv_queue":0}"#);
    run(&mut ls(["-o", "client"])).fails(2, &["--connections"]);
    run(&mut ls(["--connections", "-o", "peer"])).fails(2, &["client-fd"]);
    run(&mut ls(["--connections", "--json", "-o", "kind"])).fails(2, &["-o"]);
}

#[test]
fn a_listing_is_watched_until_nobody_reads() {
    let (_place, listener, path) = listening();
    // The address may stand where the interval could.
    let mut watching = ls(["--json", "--watch", "50ms", &path]);
    let watching = Process::spawn(&mut watching);
    let lines = watching.stdout.first_lines(4);
    let round = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).expect("an object");
        line["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    };
    let rounds: Vec<bool> = lines.iter().map(round).collect();
    assert_eq!(rounds, [true, false, true, false], "{lines:#?}");
    assert!(lines[2].ends_with("\"round\":1}"), "{lines:#?}");
    let _pair = connected(&listener);
    let connected = |line: &str| line.contains("\"connected\"");
    watching.stdout.line("the connection", connected);
    drop(watching);
    let mut head = std::process::Command::new("sh");
    head.args(["-c", "\"$0\" ls -H --watch \"$1\" | head -n 1"]);
    let seen = run(head.arg(env!("CARGO_BIN_EXE_sockeye")).arg(&path));
    seen.succeeds();
    assert!(seen.text().contains("listening"), "{}", seen.text());
}

#[test]
fn blocks_in_a_pipe_begin_with_the_time() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let mut watching = ls(["--watch", "50ms"]);
    let watching = Process::spawn(watching.arg(place.socket()));
    let lines = watching.stdout.first_lines(8);
    for (at, line) in lines.iter().enumerate() {
        match at % 4 {
            0 => assert!(line.starts_with("20") && line.ends_with('Z'), "{lines:#?}"),
            1 => assert!(line.starts_with("KIND"), "{lines:#?}"),
            2 => assert!(line.contains("listening"), "{lines:#?}"),
            _ => assert_eq!(line, "", "{lines:#?}"),
        }
    }
    assert!(!lines.concat().contains('\u{1b}'), "{lines:#?}");
}

#[test]
fn a_thread_may_have_descriptors_of_its_own() {
    let script = "import ctypes, os, socket, sys, threading
def own():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    global left, right
    left, right = socket.socketpair()
    print(os.stat(left.fileno()).st_ino, left.fileno())
    ready.wait()
ready = threading.Event()
threading.Thread(target=own, daemon=True).start()
sys.stdin.read()";
    let Some(mut script) = python(script) else {
        return;
    };
    let process = Process::spawn_piped(&mut script);
    let line = process.stdout.line("a socket", |_| true);
    let (inode, fd) = line.split_once(' ').expect("two numbers");
    let found = json(["--inode", inode]);
    let holder = &found[0]["holders"][0];
    assert_eq!(holder["pid"], process.id());
    assert_eq!(holder["fd"].to_string(), fd);
}

#[test]
fn a_table_that_keeps_changing_is_reported() {
    let (place, listener, path) = listening();
    // Of every dump the first part is let through, and the rest is said to be lost.
    let log = place.at("strace");
    let Some(strace) = crate::support::strace("recvfrom", log.as_os_str()) else {
        return;
    };
    let interrupted = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&strace[0]);
        command.args(&strace[1..]);
        command.args(["-e", "inject=recvfrom:error=ENOBUFS:when=2+"]);
        command.arg(env!("CARGO_BIN_EXE_sockeye")).args(arguments);
        run(&mut command)
    };
    let dir = place.dir().to_str().expect("plain");
    for arguments in [
        &["ls", &path][..],
        &["ls", "--json", &path],
        &["ls", "--connections", &path],
        &["ls", "--pid", "1"],
        &["why", "@sockeye-test-nobody"],
    ] {
        let listed = interrupted(arguments);
        assert_eq!(listed.code, Some(7), "{arguments:?}: {listed:#?}");
        let said = listed.text() + &listed.stderr;
        assert!(said.contains("table"), "{arguments:?}: {said}");
    }
    crate::support::stale_socket(&place.at("left behind"));
    let listed = interrupted(&["ls", "--json", "--stale", "--in", dir]);
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    for row in super::objects(&listed) {
        assert!(row["state"].is_null(), "not proven: {row}");
    }
    drop(listener);
}
