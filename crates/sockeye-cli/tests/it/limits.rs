//! How many, how long: each limit, none of them unless asked.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::support::{Client, Place, Process, REPLY, Records, Server, eventually};

#[test]
fn the_connection_limit_lets_the_others_wait() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--max-connections", "2"]);
    let mut first = server.client();
    let mut second = server.client();
    first.converse("first");
    second.converse("second");
    let mut third = server.client();
    third.send("third\n");
    third.hears_nothing_for(Duration::from_millis(200));
    drop(first);
    assert_eq!(third.line(), REPLY, "as soon as there is room");
    second.converse("still there");
    drop((second, third));
    let ending = server.stop();
    assert_eq!(ending.is_clean().refused, 0, "waiting is not refused");
}

#[test]
fn the_per_user_limit_closes_the_others_at_once() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--max-per-uid", "2"]);
    let mut first = server.client();
    let mut second = server.client();
    first.converse("first");
    second.converse("second");
    let mut third = server.client();
    third.is_cut();
    first.converse("still there");
    drop(first);
    let fourth = eventually("there is room again", || {
        let mut stream = UnixStream::connect(place.socket()).expect("it listens");
        stream.write_all(b"fourth\n").ok()?;
        let mut byte = [0; 1];
        matches!(stream.read(&mut byte), Ok(1)).then_some(stream)
    });
    drop((second, fourth));
    let ending = server.stop();
    assert!(ending.is_clean().refused >= 1, "{ending:#?}");
}

#[test]
fn the_first_byte_timeout_is_for_the_silent_only() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--first-byte-timeout", "300ms"]);
    let mut begun = server.client();
    begun.send("b");
    let mut silent = server.client();
    let connected = Instant::now();
    silent.is_cut();
    let cut = connected.elapsed();
    assert!(cut >= Duration::from_millis(250), "{cut:?}");
    assert!(cut < Duration::from_secs(5), "{cut:?}");
    begun.hears_nothing_for(Duration::from_millis(400));
    begun.send("egun\n");
    assert_eq!(begun.line(), REPLY);
}

#[test]
fn the_idle_timeout_closes_who_falls_silent() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--idle-timeout", "300ms"]);
    let mut client = server.client();
    client.converse("hello");
    let answered = Instant::now();
    client.is_cut();
    let cut = answered.elapsed();
    assert!(cut >= Duration::from_millis(200), "{cut:?}");
    assert!(cut < Duration::from_secs(5), "{cut:?}");
}

#[test]
fn the_log_says_what_the_idle_timeout_ended() {
    let place = Place::new();
    let reply = "long ".repeat(1000);
    let options = ["--idle-timeout", "300ms", "--reply", &reply];
    let server = Server::start(place.socket(), &options);
    let logged = |what: &str| {
        server.process.stderr.line(what, |line| line.contains(what));
    };

    let mut half = server.client();
    half.send("half");
    logged("sent 4 bytes of a message and then nothing until the idle timeout");

    let mut unread = server.client();
    unread.send_until_stuck(|_| b'\n');
    logged("left an answer unread until the idle timeout");

    let records = place.at("records.sock");
    let address = format!("seqpacket:{}", records.display());
    let server = Server::started_by(Server::command(&options).arg(address), &records);
    Records::connect(&records).send_until_closed();
    let what = "left an answer unread until the idle timeout";
    server.process.stderr.line(what, |line| line.contains(what));
}

#[test]
fn the_idle_timeout_does_not_touch_the_busy() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--idle-timeout", "1s"]);
    let mut client = server.client();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1600) {
        client.converse("again");
        std::thread::sleep(Duration::from_millis(100));
    }
    client.converse("and again");
}

#[test]
fn without_limits_silence_is_not_punished() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut silent = server.client();
    let mut idle = server.client();
    idle.converse("hello");
    silent.hears_nothing_for(Duration::from_millis(500));
    silent.converse("after all");
    idle.converse("again");
}

/// Connects until the backlog is full, and returns those that fitted.
fn fill(server: &Server) -> Vec<rustix::fd::OwnedFd> {
    let address = SocketAddrUnix::new(&server.path).expect("short");
    let mut waiting = Vec::new();
    loop {
        let fd = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket");
        match connect(&fd, &address) {
            Ok(()) => waiting.push(fd),
            Err(rustix::io::Errno::AGAIN) => return waiting,
            Err(error) => panic!("{error} after {}", waiting.len()),
        }
    }
}

#[test]
fn the_backlog_is_as_long_as_asked() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--backlog", "5"]);
    server.process.freeze();
    // The kernel accepts one more than the number says.
    assert_eq!(fill(&server).len(), 6);
    server.process.thaw();
    server.ask("hello\n");
}

#[test]
fn the_backlog_is_long_unless_asked() {
    let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
    let allowed: usize = allowed.trim().parse().expect("a number");
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    server.process.freeze();
    let clients: Vec<Client> = (0..allowed.min(500)).map(|_| server.client()).collect();
    server.process.thaw();
    drop(clients);
    server.ask("hello\n");
}

#[test]
fn ready_fd_gets_a_newline_once_clients_can_connect() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#"exec "$0" serve --ready-fd 3 -q "$1" 3>&1 >&2"#)
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg(place.socket());
    let process = Process::spawn(&mut command);
    assert_eq!(process.stdout.first_bytes(1), b"\n");
    Client::connect(place.socket()).converse("at once");
}

#[test]
fn a_ready_fd_that_is_not_open_is_an_error() {
    let place = Place::new();
    let tried = crate::support::run(Server::command(&["--ready-fd", "77"]).arg(place.socket()));
    assert!(tried.code.is_some_and(|code| code != 0), "{tried:#?}");
    tried.explains(&["77|ready-fd"]);
    assert_eq!(place.names().len(), 0, "and nothing is left");
}

#[test]
fn quiet_still_prints_results() {
    let place = Place::new();
    let mut command = Server::command(&["-q"]);
    let process = Process::spawn(command.arg(place.socket()));
    eventually("it listens", || UnixStream::connect(place.socket()).ok());
    Client::connect(place.socket()).converse("hello");
    let line = process.stdout.first_lines(1);
    assert!(line[0].ends_with(": hello"), "{line:?}");
}
