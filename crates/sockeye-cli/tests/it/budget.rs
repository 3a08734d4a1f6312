//! What clients can have a server hold: bounded for all of them together, and others are served.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{Client, Place, REPLY, Server, eventually, run, run_with_input, sockeye};

/// What a server takes besides what it holds for its clients: the program, and a read buffer.
const BASE_KIB: u64 = 24 * 1024;

/// Sends the beginning of a message of that size on each of `count` connections, as fast as the
/// server takes it; those that it closes are not counted on any more.
fn begin_messages(server: &Server, count: usize, bytes: usize) -> Vec<UnixStream> {
    let mut begun: Vec<(UnixStream, usize)> = Vec::new();
    for _ in 0..count {
        let stream = UnixStream::connect(&server.path).expect("it listens");
        stream.set_nonblocking(true).expect("our own");
        begun.push((stream, bytes));
    }
    let chunk = vec![b'x'; 64 << 10];
    while begun.iter().any(|(_, left)| *left > 0) {
        begun.retain_mut(|(stream, left)| {
            match stream.write(&chunk[..(*left).min(chunk.len())]) {
                Ok(sent) => *left -= sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            true
        });
    }
    begun.into_iter().map(|(stream, _)| stream).collect()
}

/// A message of that size from somebody who means well.
#[track_caller]
fn is_served(server: &Server, bytes: usize) {
    let mut send = sockeye();
    send.arg("send").arg(&server.path);
    let said = run_with_input(&mut send, vec![b'm'; bytes]);
    assert_eq!(said.succeeds().text(), format!("{REPLY}\n"));
}

#[test]
fn unfinished_messages_take_no_more_memory_than_the_budget() {
    let place = Place::new();
    let options = ["--max-buffered", "16MiB", "--json"];
    let mut server = Server::start(place.socket(), &options);
    let begun = begin_messages(&server, 150, 300 << 10);
    assert!(begun.len() < 100, "{} were kept", begun.len());
    is_served(&server, 5);
    is_served(&server, 900_000);
    let more = begin_messages(&server, 100, 1 << 20);
    is_served(&server, 5);
    is_served(&server, 900_000);
    let peak = server.process.memory_kib("VmHWM");
    // A quarter is room for what comes next.
    assert!(peak < BASE_KIB + 20 * 1024 + 4 * 1024, "{peak} KiB");
    let log = server.process.stderr.so_far();
    assert!(
        log.contains("exceed 16777216 (--max-buffered); its connection is closed"),
        "{log}"
    );
    drop((begun, more));
    server.stop();
}

/// The rest of a buffer must not keep all of it.
#[test]
fn a_byte_behind_a_long_message_does_not_keep_the_memory_of_that() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--json"]);
    let mut clients = Vec::new();
    let mut message = vec![b'x'; 1_000_000];
    message.extend_from_slice(b"\nx");
    for _ in 0..100 {
        let mut client = server.client();
        client.send(&message);
        assert_eq!(client.line(), REPLY);
        clients.push(client);
    }
    let peak = server.process.memory_kib("VmHWM");
    assert!(peak < BASE_KIB + 16 * 1024, "{peak} KiB");
}

#[test]
fn answers_that_nobody_takes_are_in_the_budget() {
    let place = Place::new();
    let options = ["--echo", "--max-buffered", "4MiB"];
    let mut server = Server::start(place.socket(), &options);
    let mut greedy: Vec<UnixStream> = (0..100)
        .map(|_| {
            let stream = UnixStream::connect(&server.path).expect("it listens");
            stream.set_nonblocking(true).expect("our own");
            stream
        })
        .collect();
    let text = "(--max-buffered); its connection is closed";
    eventually("one of them is closed", || {
        for stream in &mut greedy {
            // As much as fits; an error is what this is for.
            while stream.write(&[b'x'; 64 << 10]).is_ok() {}
        }
        server.process.stderr.so_far().contains(text).then_some(())
    });
    assert_eq!(server.ask("hello\n"), "hello\n");
    let peak = server.process.memory_kib("VmHWM");
    assert!(peak < BASE_KIB + 5 * 1024, "{peak} KiB");
    drop(greedy);
    server.stop();
}

#[test]
fn a_byte_now_and_then_does_not_last_beyond_the_message_timeout() {
    let place = Place::new();
    let options = ["--message-timeout", "500ms", "--idle-timeout", "400ms"];
    let server = Server::start(place.socket(), &options);
    let mut client = server.client();
    let began = Instant::now();
    loop {
        if client.stream().write_all(b"x").is_err() {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "it is still open"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    client.is_cut();
    let text = "bytes of a message and not its end within 500ms (--message-timeout)";
    server.process.stderr.line(text, |line| line.contains(text));
}

#[test]
fn limits_that_cannot_be_are_wrong_usage() {
    let usage = |options: &[&str], address: &str, words: &[&str]| {
        run(Server::command(options).arg(address)).fails(2, words);
    };
    let small = ["--max-buffered", "10KiB"];
    usage(
        &small,
        "/nowhere/s",
        &["--max-buffered 10240", "--max-message"],
    );
    let timeout = ["--message-timeout", "1s"];
    usage(
        &timeout,
        "seqpacket:/nowhere/s",
        &["--message-timeout", "a record is a message"],
    );
    usage(&timeout, "dgram:/nowhere/s", &["--message-timeout"]);
    let echo = ["--message-timeout", "1s", "--echo"];
    usage(
        &echo,
        "/nowhere/s",
        &["--echo has no messages; omit --message-timeout"],
    );
}

#[test]
fn messages_that_wait_for_the_reader_of_the_output_are_bounded() {
    const CLIENTS: usize = 40;
    const SIZE: usize = 900_000;
    let place = Place::new();
    let (mut reader, writer) = std::io::pipe().expect("two descriptors");
    let mut command = Server::command(&["--max-buffered", "4MiB"]);
    command
        .arg(place.socket())
        .stdout(writer)
        .stderr(std::process::Stdio::null());
    let mut server = command.spawn().expect("it starts");
    drop(command);
    eventually("it listens", || UnixStream::connect(place.socket()).ok());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            // One after the other, so that the beginnings alone are no reason to close any.
            let mut client = Client::connect(place.socket());
            let mut message = vec![b'x'; SIZE];
            message.push(b'\n');
            client.send(&message);
            std::thread::spawn(move || client.rest_or_reset() == format!("{REPLY}\n").as_bytes())
        })
        .collect();
    let status = format!("/proc/{}/status", server.id());
    eventually("most are closed", || {
        let ended = clients.iter().filter(|client| client.is_finished()).count();
        (ended >= CLIENTS - 6).then_some(())
    });
    let status = fs::read_to_string(status).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok())
        .expect("a number");
    assert!(peak < BASE_KIB + 16 * 1024, "{peak} KiB");
    // Whoever waited gets its answer when the output is read, and nobody's line is cut.
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("it ends");
    let served = clients
        .into_iter()
        .filter_map(|client| client.join().ok())
        .filter(|served| *served);
    let lines = output
        .lines()
        .inspect(|line| assert!(line.len() > SIZE, "a whole line"));
    assert_eq!(lines.count(), served.count());
    assert_eq!(server.wait().expect("our own child").code(), Some(7));
}
