//! Who listens, and whether a new client could connect.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketType, bind, listen, socket};

use super::{kind, listening, own_pid, unconnected, why};
use crate::support::{Place, Process, Server, python};

#[test]
fn a_server_that_listens_has_no_obstacle() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let pid = format!("pid {} (sockeye, since 20", server.process.id());
    let told = why(place.socket(), &[]);
    told.is(0, "none", &[&pid, "0 waiting, limit"]);
    let listener = &told.json["listener"];
    assert_eq!(listener["holders"][0]["pid"], server.process.id());
    assert_eq!(listener["waiting"], 0);
    assert_eq!(listener["state"], "listening");
    assert!(told.json["advice"].as_str().is_some_and(|a| !a.is_empty()));
    // The steps begin at the root, each directory once.
    let above = place.dir().ancestors().count();
    assert_eq!(told.steps("directory"), vec!["ok"; above], "{}", told.text);
    assert_eq!(told.steps("permission"), ["ok"]);
}

#[test]
fn why_never_connects_unless_asked() {
    let (place, listener) = listening();
    listener.set_nonblocking(true).expect("our own");
    why(place.socket(), &[]).is(0, "none", &[&own_pid()]);
    listener.accept().expect_err("nobody came");
    why(place.socket(), &["--connect"]).is(0, "none", &["connected"]);
    listener.accept().expect("somebody came");
}

#[test]
fn a_socket_that_is_bound_and_does_not_listen_is_named() {
    let place = Place::new();
    let _fd = unconnected(SocketType::STREAM, &place.socket());
    why(place.socket(), &[]).is(3, "not-listening", &[&own_pid(), "not listen"]);
}

#[test]
fn a_listener_that_was_shut_down_is_named() {
    let place = Place::new();
    let fd = unconnected(SocketType::STREAM, &place.socket());
    listen(&fd, 8).expect("bound");
    rustix::net::shutdown(&fd, Shutdown::Read).expect("listening");
    UnixStream::connect(place.socket()).expect_err("refused");
    why(place.socket(), &[]).is(3, "shut-down", &[&own_pid(), "shut down"]);
}

#[test]
fn a_socket_of_another_kind_is_named() {
    let place = Place::new();
    let _datagram = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let told = why(place.socket(), &[]);
    told.is(3, "kind", &[&own_pid(), "datagram", "dgram:/"]);
    assert_eq!(told.json["listener"]["kind"], "datagram");
    why(kind("dgram:", &place.socket()), &["--connect"]).is(0, "none", &["receive"]);
    let packets = unconnected(SocketType::SEQPACKET, &place.at("packets"));
    listen(&packets, 1).expect("bound");
    why(place.at("packets"), &[]).is(3, "kind", &["seqpacket:/"]);
    why(kind("seqpacket:", &place.at("packets")), &["--connect"]).is(0, "none", &[]);
}

#[test]
fn a_datagram_socket_that_has_a_peer_is_named() {
    let place = Place::new();
    let reserved = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let _peer = UnixDatagram::bind(place.at("peer")).expect("a fresh path");
    reserved.connect(place.at("peer")).expect("it is there");
    let told = why(kind("dgram:", &place.socket()), &["--connect"]);
    told.is(5, "reserved", &[&own_pid()]);
    assert_eq!(told.steps("connect"), ["no"], "and the kernel says so too");
}

#[test]
fn a_full_backlog_is_named() {
    let place = Place::new();
    let fd = unconnected(SocketType::STREAM, &place.socket());
    listen(&fd, 2).expect("bound");
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(UnixStream::connect(place.socket()).expect("there is room"));
    }
    why(place.socket(), &[]).is(0, "none", &["2 waiting, limit 2\n"]);
    clients.push(UnixStream::connect(place.socket()).expect("there is room for one more"));
    let told = why(place.socket(), &[]);
    told.is(6, "full", &[&own_pid(), "3 waiting, limit 2, full"]);
    assert_eq!(told.json["listener"]["waiting"], 3);
    let told = why(place.socket(), &["--connect"]);
    told.is(6, "full", &[]);
    assert_eq!(told.steps("connect"), ["no"]);
}

#[test]
fn several_processes_that_share_a_listener_are_named() {
    const SHARED: &str = "
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(0)
os.fork()
os.write(1, b'%d\\n' % os.getpid())
sys.stdin.read()
";
    let place = Place::new();
    let Some(mut command) = python(SHARED) else {
        return;
    };
    let servers = Process::spawn_piped(command.arg(place.socket()));
    let pids = servers.stdout.first_lines(2);
    let pids = pids.iter().map(|pid| format!("pid {pid} ("));
    let mut words: Vec<String> = pids.collect();
    words.extend([") and pid ".into(), ") listen\n".into()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    why(place.socket(), &[]).is(0, "none", &words);
    let _waiting = UnixStream::connect(place.socket()).expect("the one that fits");
    why(place.socket(), &[]).is(6, "full", &[") do not accept: 1 waiting"]);
}

#[test]
fn abstract_names_are_looked_up() {
    let name = format!("sockeye-test-{}-why", std::process::id());
    let shown = format!("@{name}");
    why(&shown, &[]).is(3, "nobody", &["nobody listens"]);
    why(&shown, &["--connect"]).is(3, "nobody", &["refused"]);
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let listener = UnixListener::bind_addr(&address).expect("a fresh name");
    why(&shown, &["--connect"]).is(0, "none", &[&own_pid(), "connected"]);
    why(format!("seqpacket:{shown}"), &[]).is(3, "kind", &[&own_pid(), &shown]);
    drop(listener);
    // Another name: a child that another test is starting may hold the listener for a moment more.
    let name = format!("{name}-2");
    let shown = format!("@{name}");
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("short");
    bind(&fd, &address).expect("a fresh name");
    why(&shown, &[]).is(3, "not-listening", &[&own_pid()]);
    listen(&fd, 0).expect("bound");
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let _waiting = UnixStream::connect_addr(&address).expect("the one that fits");
    why(&shown, &[]).is(6, "full", &["1 waiting, limit 0, full"]);
}

#[test]
fn a_datagram_socket_whose_queue_is_full_is_named() {
    let place = Place::new();
    let _server = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let client = UnixDatagram::unbound().expect("a socket");
    client.set_nonblocking(true).expect("our own");
    let address = kind("dgram:", &place.socket());
    why(&address, &["--connect"]).is(0, "none", &["connected"]);
    while client.send_to(b"x", place.socket()).is_ok() {}
    let told = why(&address, &["--connect"]);
    told.is(
        6,
        "full",
        &[&own_pid(), "queue of its datagram socket is full"],
    );
    assert_eq!(told.steps("connect"), ["no"]);
}

#[test]
fn names_that_are_nearly_the_one_that_was_asked_for_are_suggested() {
    let name = format!("sockeye-test-{}-near", std::process::id());
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let padded = format!("{name}\0\0");
    let address = SocketAddrUnix::new_abstract_name(padded.as_bytes()).expect("short");
    bind(&fd, &address).expect("a fresh name");
    listen(&fd, 1).expect("bound");
    let escaped = format!("@{name}\\x00\\x00");
    let words = [&*own_pid(), "with 2 NUL bytes at its end", &*escaped];
    why(format!("@{name}"), &[]).is(3, "nobody", &words);
    why(&escaped, &[]).is(0, "none", &[]);
    // To some programs @ is the beginning of a path.
    let words = ["an abstract name like that, and no file", &*escaped];
    why(format!("./@{name}"), &[]).is(3, "missing", &words);
    let (place, _listener) = listening();
    let path = place.socket();
    let told = why(kind("@", &path), &[]);
    let words = [
        "a socket at a path of that name",
        path.to_str().expect("plain"),
    ];
    told.is(3, "nobody", &words);
}

/// As socket activation does it: who has the socket is not who called listen(2).
#[test]
fn an_adopted_listener_has_no_obstacle() {
    const ADOPTED: &str = "
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
parent = os.getpid()
child = os.fork()
if child: os._exit(0)
os.write(1, b'%d %d\\n' % (parent, os.getpid()))
while os.getppid() == parent: pass
os.write(1, b'adopted\\n')
sys.stdin.read()
";
    let place = Place::new();
    let Some(mut command) = python(ADOPTED) else {
        return;
    };
    let server = Process::spawn_piped(command.arg(place.socket()));
    let lines = server.stdout.first_lines(2);
    let (parent, child) = lines[0].split_once(' ').expect("two pids");
    let (holds, listened) = (
        format!("pid {child} ("),
        format!("pid {parent}, which has ended, called listen(2)"),
    );
    let told = why(place.socket(), &["--connect"]);
    told.is(0, "none", &[&holds, &listened]);
}

/// unix_diag(7) does not tell how full it is.
#[test]
fn the_queue_of_a_datagram_socket_is_only_known_by_a_connect() {
    let place = Place::new();
    let path = place.socket();
    let _receiver = UnixDatagram::bind(&path).expect("a fresh path");
    let told = why(kind("dgram:", &path), &[]);
    told.is(
        0,
        "none",
        &["queue of its datagram socket", "use --connect for that"],
    );
    assert_eq!(told.steps("backlog"), ["note"]);
    let told = why(kind("dgram:", &path), &["--connect"]);
    assert_eq!(told.is(0, "none", &[]).steps("backlog"), [""; 0]);
}
