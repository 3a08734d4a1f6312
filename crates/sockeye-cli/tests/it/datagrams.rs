//! `dgram:` addresses: who is answered and who is not, drain, limits.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Place, Process, REPLY, Report, Server, bound, is_root, longest_queue, nameless, python,
    receive, require_peer, run, run_with_input, sockeye,
};

/// `sockeye serve OPTIONS dgram:PATH`
#[track_caller]
fn serve(place: &Place, options: &[&str]) -> Server {
    let path = place.socket();
    Server::started_by(Server::command(options).arg(address(place)), path)
}

fn address(place: &Place) -> String {
    format!("dgram:{}", place.socket().display())
}

fn send(place: &Place, words: &[&str]) -> Command {
    let mut command = sockeye();
    command.arg("send").arg(address(place)).args(words);
    command
}

#[test]
fn a_client_is_answered_where_it_is_bound() {
    let place = Place::new();
    let mut server = serve(&place, &[]);
    run(&mut send(&place, &["without a name"])).succeeds();
    let path = place.at("client");
    let path = path.to_str().expect("a plain path");
    let name = format!("@{path}");
    for bind in [path, &name, path] {
        let said = run(&mut send(&place, &["--bind", bind, "hello"]));
        assert_eq!(said.succeeds().text(), format!("{REPLY}\n"));
    }
    assert_eq!(place.names(), ["app.sock", "app.sock.lock"], "no file left");
    let mut connect = sockeye();
    connect.args(["connect", &address(&place), "--bind", path]);
    let said = run_with_input(&mut connect, "one\n\nthree");
    assert_eq!(said.succeeds().text(), format!("{REPLY}\n").repeat(3));
    let ending = server.stop();
    assert_eq!(ending.is_clean().served, 7);
    let lines: Vec<&str> = ending.stdout.lines().collect();
    assert!(lines[4].ends_with("uid 0: one") || !is_root(), "{lines:?}");
    assert!(lines[5].starts_with("received 0 bytes"), "{lines:?}");
    assert!(lines[6].ends_with(": three"), "{lines:?}");
}

#[test]
fn the_file_of_bind_is_removed_after_an_error_too() {
    let place = Place::new();
    let _server = serve(&place, &[]);
    let before = place.snapshot();
    let client = place.at("client");
    let full = fs::File::create("/dev/full").expect("Linux");
    let mut connect = sockeye();
    connect.args(["connect", &address(&place), "--bind"]);
    let mut connect = connect
        .arg(&client)
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut stdin = connect.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, b"hello\n").expect("read");
    // The input has not ended, and the answer cannot be written.
    assert_eq!(connect.wait().expect("our own child").code(), Some(1));
    assert_eq!(place.snapshot(), before);

    // A live one is not taken over.
    let live = bound(&client);
    let words = &["--bind", client.to_str().expect("a plain path"), "hello"];
    run(&mut send(&place, words)).fails(4, &["client"]);
    drop(live);
    run(&mut send(&place, words)).succeeds();
}

#[test]
fn a_sender_without_an_address_is_reported() {
    let place = Place::new();
    let mut server = serve(&place, &[]);
    nameless()
        .send_to(b"no name", &server.path)
        .expect("it is bound");
    let complaint = server.process.stderr.line("the complaint", |line| {
        line.contains("has no address and cannot be answered")
    });
    let own = format!("pid {} ", std::process::id());
    assert!(complaint.contains(&own), "{complaint}");
    run(&mut send(&place, &["next"])).succeeds();
    let ending = server.stop();
    assert_eq!(ending.is_clean().served, 2);
    assert!(ending.stdout.contains(": no name\n"), "{ending:#?}");
}

#[test]
fn an_oversize_datagram_is_refused_and_the_next_one_served() {
    let place = Place::new();
    let mut server = serve(&place, &["--max-message", "100"]);
    let client = bound(place.at("client"));
    client.send_to(&[b'x'; 4321], &server.path).expect("sent");
    client.send_to(&[b'y'; 100], &server.path).expect("sent");
    assert_eq!(receive(&client), REPLY.as_bytes());
    let ending = server.stop();
    let report = ending.is_clean();
    assert_eq!((report.served, report.refused), (1, 1), "{ending:#?}");
    let line = ending.stderr.lines().find(|line| line.contains("4321"));
    let line = line.unwrap_or_else(|| panic!("the real size: {ending:#?}"));
    assert!(line.contains("allows 100; it is refused"), "{line}");
    assert!(!ending.stdout.contains('x'), "{ending:#?}");
}

#[test]
fn what_waits_in_the_queue_is_answered_in_a_drain() {
    let place = Place::new();
    let mut server = serve(&place, &["--drain", "60s"]);
    let client = bound(place.at("client"));
    server.process.freeze();
    // Not so many that the sender's own buffer is the limit.
    let count = longest_queue().min(100);
    for index in 0..count {
        let datagram = format!("request {index}");
        client
            .send_to(datagram.as_bytes(), &server.path)
            .expect("sent");
    }
    server.terminate();
    server.process.thaw();
    for _ in 0..count {
        assert_eq!(receive(&client), REPLY.as_bytes());
    }
    let ending = server.ending();
    let report = ending.is_clean();
    assert_eq!(report.served + report.drained, count as u64, "{ending:#?}");
    let shown: Vec<&str> = ending.stdout.lines().collect();
    assert!(shown[count - 1].ends_with(&format!(": request {}", count - 1)));
    let late = client.send_to(b"late", place.socket());
    assert!(late.is_err(), "the file is gone");
}

/// `sockeye serve OPTIONS dgram:PATH`, writing to a pipe that nobody reads.
fn blocked(place: &Place, options: &[&str]) -> Process {
    let script = r#"mkfifo "$0" && exec 9<>"$0" && rm "$0" && exec "$@" >&9"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(place.at("pipe"));
    shell.arg(env!("CARGO_BIN_EXE_sockeye")).arg("serve");
    let process = Process::spawn(shell.args(options).arg(address(place)));
    process
        .stderr
        .line("the greeting", |line| line.contains("listening on "));
    process
}

#[test]
fn a_reader_that_does_not_read_holds_up_no_stop() {
    for (drain, signals) in [("300ms", 1), ("60s", 2)] {
        let place = Place::new();
        let mut server = blocked(&place, &["--discard", "--drain", drain]);
        let client = nameless();
        client.set_nonblocking(true).expect("our own");
        let mut sent = 0;
        let mut stuck = 0;
        // What the server still takes makes no difference: only what was sent counts.
        while stuck < 5 {
            match client.send_to(&[b'x'; 10_000], place.socket()) {
                Ok(_) => (sent, stuck) = (sent + 1, 0),
                Err(_) => {
                    stuck += 1;
                    thread::sleep(Duration::from_millis(20));
                }
            }
        }
        server.signal(Signal::INT);
        if signals == 2 {
            server
                .stderr
                .line("the drain", |line| line.starts_with("stopping on SIGINT"));
            server.signal(Signal::INT);
        }
        let ended = server.finish();
        assert_eq!(ended.code, Some(7), "{ended:#?}");
        let report = Report::parse(ended.stderr.lines().last().expect("a line"));
        assert!(report.aborted >= 1, "{report:?}");
        assert_eq!(report.served + report.drained + report.aborted, sent);
        assert_eq!(place.names().len(), 0);
    }
}

#[test]
fn an_adopted_socket_is_neither_removed_nor_shut_down() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let before = place.snapshot();
    let mut command = Server::command(&[]);
    command.arg("dgram:fd:0");
    let ours = socket.try_clone().expect("a duplicate");
    let mut server = command
        .stdin(Stdio::from(OwnedFd::from(ours)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    run(&mut send(&place, &["hello"])).succeeds();
    kill_process(Pid::from_child(&server), Signal::TERM).expect("our own child");
    assert_eq!(server.wait().expect("our own child").code(), Some(0));
    assert_eq!(place.snapshot(), before, "the file is not ours to remove");
    nameless()
        .send_to(b"to whoever is next", place.socket())
        .expect("still received");
    assert_eq!(receive(&socket), b"to whoever is next");
}

#[test]
fn send_waits_for_one_answer() {
    let place = Place::new();
    let mut server = serve(&place, &["--discard"]);
    run(&mut send(&place, &["--timeout", "200ms", "hello"])).fails(6, &["200ms", "--timeout"]);
    run(&mut send(&place, &["--no-answer", "hello"])).succeeds();
    server.stop().is_clean();
    run(&mut send(&place, &["hello"])).fails(3, &["app.sock"]);

    // The queue is full, and nobody receives.
    let socket = bound(place.socket());
    let fillers: Vec<UnixDatagram> = (0..longest_queue()).map(|_| nameless()).collect();
    for filler in &fillers {
        filler.set_nonblocking(true).expect("our own");
        filler.send_to(b"x", place.socket()).expect("room");
    }
    let more = fillers[0].send_to(b"x", place.socket());
    more.expect_err("the queue is full");
    for words in [
        &["--connect-timeout", "200ms", "hello"][..],
        &["--timeout", "200ms", "hello"],
        &["--timeout", "200ms", "--no-answer", "hello"],
    ] {
        run(&mut send(&place, words)).fails(6, &["queue stayed full for 200ms", words[0]]);
    }
    let mut connect = sockeye();
    connect.args(["connect", "-w", "200ms", &address(&place)]);
    run_with_input(&mut connect, "hello\n").fails(6, &["queue stayed full", "--connect-timeout"]);
    drop(socket);
}

#[test]
fn options_of_connections_are_wrong_usage() {
    let place = Place::new();
    for option in [
        &["--framing", "line"][..],
        &["--max-connections", "1"],
        &["--max-per-uid", "1"],
        &["--first-byte-timeout", "1s"],
        &["--idle-timeout", "1s"],
    ] {
        let refused = run(Server::command(option).arg(address(&place)));
        refused.fails(2, &[option[0], "omit"]);
    }
    for words in [&["--framing", "length", "x"][..], &["--bind", "fd:3", "x"]] {
        run(&mut send(&place, words)).fails(2, &["cannot"]);
    }
    for kind in ["unix", "seqpacket"] {
        let address = format!("{kind}:{}", place.socket().display());
        for option in [&["--no-answer"][..], &["--bind", "@x"]] {
            let mut command = sockeye();
            run(command.args(["send", &address, "x"]).args(option)).fails(2, &[option[0]]);
        }
        let refused = run(sockeye().args(["connect", &address, "--bind", "@x"]));
        refused.fails(2, &["--bind"]);
    }
    let seqpacket = format!("seqpacket:{}", place.socket().display());
    run(&mut Server::command(&["--framing", "raw", &seqpacket])).fails(2, &["--framing"]);
    assert_eq!(place.names().len(), 0);
}

#[test]
fn others_talk_datagrams() {
    let place = Place::new();
    let mut server = serve(&place, &[]);
    if let Some(netcat) = require_peer("nc") {
        let mut nc = Command::new(netcat);
        let said = run_with_input(nc.args(["-U", "-u", "-w", "1"]).arg(&server.path), "nc\n");
        assert_eq!(said.text(), REPLY, "{said:#?}");
    }
    if let Some(socat) = require_peer("socat") {
        let client = place.at("client");
        let to = format!(
            "UNIX-SENDTO:{},bind={}",
            server.path.display(),
            client.display()
        );
        let said = run_with_input(Command::new(socat).args(["-t", "1", "-", &to]), "socat");
        assert_eq!(said.text(), REPLY, "{said:#?}");
    }
    server.stop().is_clean();
    if let Some(mut script) = python(
        r"
import socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print('ready')
while True:
    datagram, sender = server.recvfrom(1 << 20)
    print(datagram)
    server.sendto(b'%d' % len(datagram), sender)
",
    ) {
        let server = Process::spawn(script.arg(place.socket()));
        server.stdout.first_lines(1);
        let said = run(&mut send(&place, &["two", "words"]));
        assert_eq!(said.succeeds().text(), "9\n");
        let mut connect = sockeye();
        connect.args(["connect", &address(&place)]);
        let said = run_with_input(&mut connect, "one\n\nthree");
        assert_eq!(said.succeeds().text(), "3\n0\n5\n");
        let came = server.stdout.first_lines(5);
        assert_eq!(came[1..], ["b'two words'", "b'one'", "b''", "b'three'"]);
    }
}
