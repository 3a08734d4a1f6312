//! File descriptors that come to `send` and `connect`, and `serve -- sockeye connect` as a relay.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;
use sockeye::ancillary::{Received, pass_descriptors, recv_msg, send_msg};
use sockeye::packet::{BlockingSeqPacket, BlockingSeqPacketListener};
use sockeye::{Address, Claim, Connector};

use crate::support::{PATIENCE, Place, Process, Server, run, serve_once, sockeye};

fn null() -> File {
    File::open("/dev/null").expect("Linux")
}

#[test]
fn file_descriptors_that_are_not_taken_are_reported() {
    for arguments in [&["send", "hi"] as &[&str], &["connect"]] {
        for (count, words) in [
            (1, "1 file descriptor came"),
            (253, "253 file descriptors came"),
        ] {
            let place = Place::new();
            let server = serve_once(&place.socket(), move |mut stream| {
                stream.read_to_end(&mut Vec::new()).expect("the end");
                let file = null();
                let files = vec![file.as_fd(); count];
                send_msg(&stream, b"here\n", &files).expect("it fits");
            });
            let mut command = sockeye();
            command
                .arg(arguments[0])
                .arg(place.socket())
                .args(&arguments[1..]);
            let told = run(&mut command);
            assert_eq!(told.code, Some(7), "{told:#?}");
            assert_eq!(told.text(), "here\n");
            told.explains(&[words, "closed", place.socket().to_str().expect("plain")]);
            server.join().expect("served");
        }
    }
}

#[test]
fn file_descriptors_that_came_with_records_are_reported_once() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.socket().display());
    let claim = Claim::options()
        .allow_fd_passing(true)
        .claim(&address.parse().expect("an address"));
    let listener = BlockingSeqPacketListener::from_claim(claim.expect("a fresh path"));
    let listener = listener.expect("seqpacket");
    let mut client = Process::spawn(sockeye().args(["send", &address, "hi"]));
    let connection = listener.accept().expect("the client");
    assert_eq!(connection.recv(&mut [0; 16]).expect("a record"), Some(2));
    for record in ["one", "two"] {
        let sent = connection.send_msg(record.as_bytes(), &[null().as_fd()]);
        sent.expect("the client takes it");
    }
    drop(connection);
    let told = client.finish();
    assert_eq!((told.code, told.text().as_str()), (Some(7), "one\ntwo\n"));
    told.explains(&["2 file descriptors came"]);
}

/// `serve --fds FRONT -- sockeye connect BACK`
fn relay(kind: &str, place: &Place) -> Server {
    relay_with(&["--fds"], kind, place)
}

fn relay_with(options: &[&str], kind: &str, place: &Place) -> Server {
    let (front, back) = (place.at("front"), place.at("back"));
    let mut command = Server::command(options);
    command.arg(format!("{kind}{}", front.display()));
    command.args(["--", env!("CARGO_BIN_EXE_sockeye"), "connect"]);
    command.arg(format!("{kind}{}", back.display()));
    Server::started_by(&mut command, front)
}

/// What is read next, and how many file descriptors came with it.
#[track_caller]
fn next(stream: &UnixStream, room: usize) -> (String, usize) {
    let mut buffer = vec![0; room];
    let received = recv_msg(stream, &mut buffer).expect("connected");
    let Received {
        bytes, descriptors, ..
    } = received.expect("not the end");
    (
        String::from_utf8_lossy(&buffer[..bytes]).into_owned(),
        descriptors.len(),
    )
}

#[test]
fn a_relay_of_streams_keeps_file_descriptors_at_their_bytes() {
    let place = Place::new();
    let back = UnixListener::bind(place.at("back")).expect("a fresh path");
    let relay = relay("", &place);
    let client = UnixStream::connect(&relay.path).expect("it listens");
    let (server, _) = back.accept().expect("the relay comes");
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    }
    let file = null();
    for (from, to) in [(&client, &server), (&server, &client)] {
        // The relay sees all three at once, or one by one.
        { from }.write_all(b"before").expect("connected");
        send_msg(from, b"with", &[file.as_fd(), file.as_fd()]).expect("it takes them");
        { from }.write_all(b"after").expect("connected");
        let mut before = String::new();
        while before.len() < "before".len() {
            let (text, count) = next(to, "before".len() - before.len());
            assert_eq!(count, 0, "{before}{text}");
            before += &text;
        }
        assert_eq!(before, "before");
        assert_eq!(
            next(to, 1),
            ("w".to_owned(), 2),
            "with the first of its bytes"
        );
        let mut rest = [0; 8];
        { to }.read_exact(&mut rest).expect("the rest");
        assert_eq!(&rest, b"ithafter");
    }
    // Each direction ends by itself.
    server.shutdown(Shutdown::Write).expect("connected");
    assert_eq!({ &client }.read(&mut [0; 1]).expect("the end"), 0);
    { &client }
        .write_all(b"still")
        .expect("the other direction is open");
    assert_eq!(next(&server, 5).0, "still");
    drop(client);
    assert_eq!({ &server }.read(&mut [0; 1]).expect("the end"), 0);
}

#[test]
fn what_a_client_sent_before_it_hung_up_is_delivered() {
    let place = Place::new();
    let back = UnixListener::bind(place.at("back")).expect("a fresh path");
    let mut relay = relay("", &place);
    for _ in 0..20 {
        let client = UnixStream::connect(&relay.path).expect("it listens");
        { &client }.write_all(b"and away").expect("connected");
        drop(client);
        let (mut server, _) = back.accept().expect("the relay comes");
        let mut came = String::new();
        server.read_to_string(&mut came).expect("an orderly end");
        assert_eq!(came, "and away");
    }
    relay.stop().is_clean();
}

fn seqpacket(path: &Path) -> BlockingSeqPacket {
    let address = format!("seqpacket:{}", path.display());
    let address: Address = address.parse().expect("an address");
    Connector::new()
        .connect_seqpacket_blocking(&address)
        .expect("it listens")
}

#[test]
fn a_relay_of_records_keeps_them_as_they_are() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.at("back").display());
    let claim = Claim::options()
        .allow_fd_passing(true)
        .claim(&address.parse().expect("an address"));
    let back = BlockingSeqPacketListener::from_claim(claim.expect("a fresh path"));
    let back = back.expect("seqpacket");
    let relay = relay("seqpacket:", &place);
    let client = seqpacket(&relay.path);
    let server = back.accept().expect("the relay comes");
    let long = vec![b'x'; 100_000];
    let file = null();
    for (from, to) in [(&client, &server), (&server, &client)] {
        for (record, count) in [
            (b"two\nlines\n" as &[u8], 0),
            (b"", 0),
            (&long, 1),
            (b"", 3),
            (b"\n", 0),
        ] {
            from.send_msg(record, &vec![file.as_fd(); count])
                .expect("it takes them");
            let mut buffer = vec![0; 200_000];
            let received = to.recv_msg(&mut buffer).expect("connected");
            let received = received.expect("not the end");
            assert!(
                &buffer[..received.bytes] == record,
                "{} bytes",
                received.bytes
            );
            assert_eq!(received.descriptors.len(), count);
        }
    }
    drop(client);
    assert!(server.recv(&mut [0; 1]).expect("the end").is_none());
}

#[test]
fn a_relay_of_sockeye_to_sockeye_passes_everything() {
    for kind in ["", "seqpacket:"] {
        let place = Place::new();
        let (back, mut front) = (
            Server::started_by(
                Server::command(&["--fds"]).arg(format!("{kind}{}", place.at("back").display())),
                place.at("back"),
            ),
            relay(kind, &place),
        );
        let address = format!("{kind}{}", front.path.display());
        let file = place.at("file");
        fs::write(&file, "x").expect("our own place");
        let mut command = sockeye();
        let sent = run(command
            .args(["send", "--fd"])
            .arg(&file)
            .args([&address, "take this"]));
        sent.succeeds();
        let lines = back.process.stdout.first_lines(2);
        assert!(lines[0].ends_with(": take this"), "{lines:?}");
        assert!(
            lines[1].contains(file.to_str().expect("plain")),
            "{lines:?}"
        );
        front.stop().is_clean();
    }
}

#[test]
fn file_descriptors_that_the_other_side_refuses_are_reported() {
    for kind in ["", "seqpacket:"] {
        // The server behind the relay takes none.
        let place = Place::new();
        let address = |name| format!("{kind}{}", place.at(name).display());
        let mut back =
            Server::started_by(Server::command(&[]).arg(address("back")), place.at("back"));
        let mut front = relay(kind, &place);
        let mut command = sockeye();
        let sent = run(command.args(["send", "--fd", "/dev/null", &address("front"), "lost"]));
        assert_eq!(sent.text(), "");
        let told = front.process.stderr.line("the end of connect", |line| {
            line.starts_with("sockeye: cannot send to") && line.contains("refuses file descriptors")
        });
        assert!(told.contains("back"), "{told}");
        let told = front
            .process
            .stderr
            .line("its status", |line| line.contains("exit status"));
        assert!(told.contains("exit status: 5"), "{told}");
        front.stop();

        // The relay itself takes none.
        let mut front = relay_with(&[], kind, &place);
        let mut command = sockeye();
        let sent = run(command.args(["send", "--fd", "/dev/null", &address("front"), "lost"]));
        sent.fails(5, &["refuses file descriptors"]);
        front.stop();
        assert_eq!(back.stop().stdout, "");
    }
}

#[test]
fn file_descriptors_that_the_client_refuses_are_reported() {
    let place = Place::new();
    let back = UnixListener::bind(place.at("back")).expect("a fresh path");
    let mut relay = relay("", &place);
    let client = UnixStream::connect(&relay.path).expect("it listens");
    pass_descriptors(&client, false).expect("Linux 6.16");
    let (server, _) = back.accept().expect("the relay comes");
    send_msg(&server, b"here", &[null().as_fd()]).expect("the relay takes it");
    relay.process.stderr.line("the end of connect", |line| {
        line.starts_with("sockeye: cannot write to standard output: file descriptors came")
    });
    assert_eq!({ &client }.read(&mut [0; 1]).expect("the end"), 0);
    relay.stop();
}

#[test]
fn a_client_that_hangs_up_without_reading_ends_the_relay_in_silence() {
    for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
        let place = Place::new();
        let back = UnixListener::bind(place.socket()).expect("a fresh path");
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None).expect("supported");
        let mut command = sockeye();
        command.arg("connect").arg(place.socket());
        command.stdin(theirs.try_clone().expect("a duplicate"));
        let child = command.stdout(theirs).stderr(Stdio::piped()).spawn();
        let child = child.expect("started");
        drop(command);
        let (mut server, _) = back.accept().expect("the relay comes");
        server.write_all(b"unread").expect("connected");
        poll(&mut [PollFd::new(&ours, PollFlags::IN)], None).expect("the answer");
        drop(ours);
        let ended = child.wait_with_output().expect("our own child");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{kind:?}");
        assert_eq!(ended.status.signal(), Some(Signal::PIPE.as_raw()));
    }
}

#[test]
fn an_input_that_is_reset_is_named() {
    let place = Place::new();
    let back = UnixListener::bind(place.socket()).expect("a fresh path");
    let (ours, theirs) = UnixStream::pair().expect("supported");
    let mut command = sockeye();
    command.arg("connect").arg(place.socket());
    { &theirs }.write_all(b"unread").expect("connected");
    command.stdin(OwnedFd::from(theirs));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("started");
    drop(command);
    let (_server, _) = back.accept().expect("the relay comes");
    drop(ours);
    let ended = child.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("reading standard input: Connection reset"),
        "{said}"
    );
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn file_descriptors_that_came_are_reported_when_a_signal_ends_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).expect("a fresh path");
        let mut client = Process::spawn_piped(sockeye().arg("connect").arg(place.socket()));
        let (server, _) = listener.accept().expect("the client");
        send_msg(&server, b"hold\n", &[null().as_fd()]).expect("it fits");
        client.stdout.first_lines(1);
        client.signal(signal);
        let ended = client.finish();
        ended.explains(&["1 file descriptor came", "closed"]);
        assert_eq!(ended.code, None, "{ended:#?}");
    }
}
