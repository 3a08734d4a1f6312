//! Seqpacket: records keep their boundaries, and a connection is treated as one of a stream.

use std::process::Command;

use rustix::net::SocketType;

use crate::support::{
    Place, Process, REPLY, Records, Server, bound, python, receive, records_of_all_sizes,
    require_peer, run, run_with_input, sockeye,
};

/// `sockeye serve OPTIONS seqpacket:PATH`
#[track_caller]
fn serve(place: &Place, options: &[&str]) -> Server {
    let path = place.socket();
    let address = address("seqpacket", place);
    Server::started_by(Server::command(options).arg(address), path)
}

fn address(kind: &str, place: &Place) -> String {
    format!("{kind}:{}", place.socket().display())
}

#[test]
fn an_echo_keeps_every_size() {
    let place = Place::new();
    let records = records_of_all_sizes(SocketType::SEQPACKET);
    let mut server = serve(&place, &["--echo"]);
    let client = Records::connect(&server.path);
    for record in &records {
        client.send(record);
        assert!(client.next() == *record, "{} bytes", record.len());
    }
    // The last was not an empty answer before its time.
    client.send(b"end");
    assert_eq!(client.next(), b"end");
    drop(client);
    let report = server.stop().is_clean();
    assert_eq!(report.served + report.drained, 1);

    let mut server = Server::started_by(
        Server::command(&["--echo"]).arg(address("dgram", &place)),
        place.socket(),
    );
    let client = bound(place.at("client"));
    client.connect(&server.path).expect("it is bound");
    for record in records_of_all_sizes(SocketType::DGRAM) {
        client.send(&record).expect("sent");
        assert!(receive(&client) == record, "{} bytes", record.len());
    }
    server.stop().is_clean();
}

#[test]
fn every_size_is_shown_whole_and_in_order() {
    for kind in ["seqpacket", "dgram"] {
        let place = Place::new();
        let mut server = Server::started_by(
            Server::command(&["--json", "--discard"]).arg(address(kind, &place)),
            place.socket(),
        );
        let records = match kind {
            "dgram" => {
                let records = records_of_all_sizes(SocketType::DGRAM);
                let client = bound(place.at("client"));
                for record in &records {
                    client.send_to(record, &server.path).expect("sent");
                }
                records
            }
            _ => {
                let records = records_of_all_sizes(SocketType::SEQPACKET);
                let client = Records::connect(&server.path);
                records.iter().for_each(|record| client.send(record));
                records
            }
        };
        let lines = server.process.stdout.first_lines(records.len());
        for (line, record) in lines.iter().zip(&records) {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(event["bytes"], record.len());
            let text = event["text"].as_str().expect("letters");
            assert!(text.as_bytes() == record, "{} bytes", record.len());
            assert!(event.get("descriptors").is_none(), "{line}");
        }
        server.stop().is_clean();
    }
}

/// ResultSender each record with its size, until the end of input.
const SERVER: &str = r"
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
print('ready')
client, _ = listener.accept()
client.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
while True:
    record, control, _, _ = client.recvmsg(1 << 20, 1024)
    if not control:
        break
    print(repr(record) if len(record) < 50 else f'{len(record)} {set(record)}')
    client.send(b'%d' % len(record))
client.send(b'')
client.send(b'bye\n')
";

/// What a server in Python makes of what is sent to it by a `sockeye VERB`.
fn sent(subcommand: &str, words: &[&str], input: &[u8]) -> Option<(String, String)> {
    let place = Place::new();
    let mut server = Process::spawn(python(SERVER)?.arg(place.socket()));
    server.stdout.first_lines(1);
    let mut command = sockeye();
    command.arg(subcommand).arg(address("seqpacket", &place));
    let client = run_with_input(command.args(words), input);
    let text = client.succeeds().text();
    let came = server.finish().text();
    Some((came.replace("ready\n", ""), text))
}

#[test]
fn connect_sends_lines_as_records() {
    for (input, came, answers) in [
        ("one\n\nthree", "b'one'\nb''\nb'three'\n", "3\n0\n5\n"),
        ("one\n", "b'one'\n", "3\n"),
        ("\n", "b''\n", "0\n"),
        ("", "", ""),
        ("a\0b\r\n", "b'a\\x00b\\r'\n", "4\n"),
    ] {
        let Some(sent) = sent("connect", &[], input.as_bytes()) else {
            return;
        };
        assert_eq!(sent, (came.to_owned(), format!("{answers}\nbye\n")));
    }
    let long = "x".repeat(200_000) + "\n";
    let sent = sent("connect", &[], long.as_bytes()).expect("as before");
    assert_eq!(sent.0, "200000 {120}\n");
}

#[test]
fn send_sends_one_record() {
    for (words, input, came, answer) in [
        (&["two", "words"][..], "", "b'two words'\n", "9\n\nbye\n"),
        (&["--framing", "raw", "x"], "", "b'x'\n", "1bye\n"),
        (&[], "two\nlines\n", "b'two\\nlines\\n'\n", "10\n\nbye\n"),
        (&["-"], "", "b''\n", "0\n\nbye\n"),
        (&[""], "", "b''\n", "0\n\nbye\n"),
    ] {
        let Some(sent) = sent("send", words, input.as_bytes()) else {
            return;
        };
        assert_eq!(sent, (came.to_owned(), answer.to_owned()), "{words:?}");
    }
}

fn wmem_max() -> usize {
    let text = std::fs::read_to_string("/proc/sys/net/core/wmem_max").expect("Linux");
    text.trim().parse().expect("a number")
}

#[test]
fn a_record_above_the_default_buffer_goes_there_and_back() {
    // By hand it is 212992 by default, and the buffer with it.
    let size = wmem_max() + 50_000;
    for kind in ["seqpacket", "dgram"] {
        let place = Place::new();
        let options = ["--echo", "--max-message", "64MiB"];
        let server = Server::command(&options);
        let server = Server::started_by({ server }.arg(address(kind, &place)), place.socket());
        for (subcommand, end) in [("connect", "\n"), ("send", "")] {
            let mut command = sockeye();
            let command = command.args([subcommand, "--max-message", "64MiB"]);
            let input = "x".repeat(size);
            let came = run_with_input(command.arg(address(kind, &place)), input.clone() + end);
            assert_eq!(
                came.succeeds().stdout.len(),
                size + 1,
                "{subcommand} {kind}"
            );
        }
        drop(server);
    }
}

#[test]
fn a_line_that_no_record_can_take_is_an_error() {
    // A send buffer is made twice as large as the limit says.
    let too_long = wmem_max() * 2;
    for kind in ["seqpacket", "dgram"] {
        let place = Place::new();
        let server = Server::started_by(
            Server::command(&["--discard"]).arg(address(kind, &place)),
            place.socket(),
        );
        for (subcommand, input) in [
            ("connect", "x".repeat(too_long) + "\n"),
            ("send", "x".repeat(too_long)),
        ] {
            let mut command = sockeye();
            let command = command.arg(subcommand).arg("--max-message=1GiB");
            let failed = run_with_input(command.arg(address(kind, &place)), input);
            let size = format!("a record of {too_long} bytes");
            failed.fails(
                1,
                &["cannot send to", &size, "send less", "net.core.wmem_max"],
            );
        }
        // The line need not end for that.
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            r#"exec "$0" connect --max-message 64KiB "$1" </dev/zero"#,
        ]);
        shell.arg(env!("CARGO_BIN_EXE_sockeye"));
        let failed = run(shell.arg(address(kind, &place)));
        failed.fails(1, &["a line of more than 65536 bytes", "--max-message"]);
        assert_eq!(server.process.stdout.so_far(), "");
    }
    let place = Place::new();
    let _server = serve(&place, &[]);
    let send = |words: &[&str]| {
        let mut command = sockeye();
        command.arg("send").arg(address("seqpacket", &place));
        run(command.args(words))
    };
    send(&["--max-message", "3", "long"]).fails(2, &["--max-message"]);
    let answer = send(&["--max-message", "10", "long"]);
    answer.fails(1, &["29 bytes", "10", "--max-message"]);
}

#[test]
fn an_oversize_record_ends_its_connection_only() {
    let place = Place::new();
    let mut server = serve(&place, &["--max-message", "100"]);
    let (client, other) = (
        Records::connect(&server.path),
        Records::connect(&server.path),
    );
    other.converse("before");
    client.send(&[b'x'; 100]);
    assert_eq!(client.next(), REPLY.as_bytes());
    client.send(&[b'x'; 4321]);
    client.is_cut();
    other.converse("after");
    drop(other);
    let ending = server.stop();
    ending.is_clean();
    let line = ending.stderr.lines().find(|line| line.contains("4321"));
    let line = line.unwrap_or_else(|| panic!("the real size: {ending:#?}"));
    assert!(line.contains("allows 100"), "{line}");
    assert!(!ending.stdout.contains("4321"), "{ending:#?}");
}

#[test]
fn a_record_above_our_default_buffer_is_answered() {
    let place = Place::new();
    let mut server = serve(&place, &["--echo"]);
    let Some(mut client) = python(
        r"
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400000)
client.connect(sys.argv[1])
client.send(b'x' * 300000)
print(len(client.recv(1 << 20)))
",
    ) else {
        return;
    };
    assert_eq!(run(client.arg(&server.path)).succeeds().text(), "300000\n");
    server.stop().is_clean();
}

#[test]
fn a_hundred_in_the_backlog_are_answered_in_a_drain() {
    let place = Place::new();
    let mut server = serve(&place, &["--drain", "60s"]);
    let idle = Records::connect(&server.path);
    idle.converse("then idle");
    server.process.freeze();
    idle.send(b"in the middle");
    let clients: Vec<Records> = (0..100)
        .map(|index| {
            let client = Records::connect(&server.path);
            client.send(format!("request {index}").as_bytes());
            client.finish();
            client
        })
        .collect();
    server.terminate();
    server.process.thaw();
    for client in &clients {
        assert_eq!(client.next(), REPLY.as_bytes());
        client.is_cut();
    }
    assert_eq!(idle.next(), REPLY.as_bytes());
    idle.is_cut();
    let ending = server.ending();
    let report = ending.is_clean();
    assert_eq!(report.served + report.drained, 101, "{ending:#?}");
}

#[test]
fn the_limits_of_connections_hold() {
    let place = Place::new();
    let server = serve(&place, &["--first-byte-timeout", "50ms"]);
    Records::connect(&server.path).is_cut();
    drop(server);

    let mut server = serve(&place, &["--idle-timeout", "50ms"]);
    let client = Records::connect(&server.path);
    client.converse("once");
    client.is_cut();
    server.stop().is_clean();

    let mut server = serve(&place, &["--max-per-uid", "1"]);
    let client = Records::connect(&server.path);
    client.converse("first");
    Records::connect(&server.path).is_cut();
    client.converse("still there");
    drop(client);
    assert_eq!(server.stop().is_clean().refused, 1);

    let mut server = serve(&place, &["--max-connections", "1"]);
    let first = Records::connect(&server.path);
    first.converse("first");
    let second = Records::connect(&server.path);
    second.send(b"second");
    first.converse("the only one");
    assert!(!server.process.stdout.so_far().contains("second"));
    drop(first);
    assert_eq!(second.next(), REPLY.as_bytes());
    drop(second);
    server.stop().is_clean();
}

#[test]
fn what_came_before_a_client_left_is_shown_though_it_took_no_answer() {
    let place = Place::new();
    let mut server = serve(&place, &[]);
    let client = Records::connect(&server.path);
    for _ in 0..3 {
        client.send(b"first");
    }
    server.process.stdout.first_lines(3);
    // Its answers wait for it, and the kernel tells the server once that they have gone.
    server.process.freeze();
    for _ in 0..5 {
        client.send(b"second");
    }
    drop(client);
    server.process.thaw();
    server.process.stdout.first_lines(8);
    server.stop().is_clean();
}

#[test]
fn ls_and_why_know_the_kind() {
    for kind in ["seqpacket", "dgram"] {
        let place = Place::new();
        let server = Server::started_by(
            Server::command(&[]).arg(address(kind, &place)),
            place.socket(),
        );
        let listed = run(sockeye().args(["ls", "--json"]).arg(&server.path));
        let first = listed.text().lines().next().expect("a line").to_owned();
        let row: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        assert_eq!(row["kind"], kind.replace("dgram", "datagram"));
        let why = run(sockeye().arg("why").arg(address(kind, &place)));
        assert!(why.text().contains("would succeed"), "{why:#?}");
        let why = run(sockeye().arg("why").arg(&server.path));
        assert!(why.text().contains(&address(kind, &place)), "{why:#?}");
    }
}

#[test]
fn socat_talks_records() {
    let Some(socat) = require_peer("socat") else {
        return;
    };
    let place = Place::new();
    let server = serve(&place, &[]);
    let to = format!("UNIX-CONNECT:{},type=5", server.path.display());
    let said = run_with_input(Command::new(socat).args(["-t", "20", "-", &to]), "hello");
    assert_eq!(said.text(), REPLY);
}
