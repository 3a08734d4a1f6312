//! What `serve` prints for each message, in text and in JSON.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, Place, Process, REPLY, Server, python, run, sockeye};

/// The name of this process as others see it.
fn own_name() -> String {
    let name = fs::read_to_string("/proc/self/comm").expect("our own name");
    name.trim_end_matches('\n').to_owned()
}

/// What `serve` is to print for these bytes from this process, up to the text.
fn received(bytes: usize) -> String {
    let (pid, name) = (std::process::id(), own_name());
    let uid = rustix::process::getuid().as_raw();
    format!("received {bytes} bytes from pid {pid} ({name}) uid {uid}: ")
}

fn no_control_characters(line: &str) {
    assert!(
        !line.chars().any(char::is_control),
        "C0, DEL and C1 are escaped: {line:?}"
    );
}

#[test]
fn each_message_is_one_line_with_its_sender() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    assert_eq!(server.ask("Hello UNIX socket!\n"), format!("{REPLY}\n"));
    let line = server.process.stdout.first_lines(1);
    assert_eq!(line, [received(19) + "Hello UNIX socket!"]);
    let ending = server.stop();
    ending.is_clean();
    assert_eq!(ending.stdout.lines().count(), 1, "one line and no more");
}

#[test]
fn the_greeting_names_the_address_and_connecting_works_at_once() {
    let place = Place::new();
    for round in 0..10 {
        let path = place.at(format!("{round}.sock"));
        let server = Server::start(&path, &[]);
        let client = Client::connect(&path);
        let shown = format!("listening on {}", path.display());
        assert!(server.greeting.contains(&shown), "{}", server.greeting);
        drop(client);
    }
}

#[test]
fn a_message_without_a_newline_counts_what_came() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    assert_eq!(server.ask("no newline"), format!("{REPLY}\n"));
    let line = server.process.stdout.first_lines(1);
    assert_eq!(line, [received(10) + "no newline"]);
}

#[test]
fn a_connection_that_sends_nothing_is_no_message() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    assert_eq!(server.ask(""), "");
    assert_eq!(server.stop().stdout, "");
}

#[test]
fn json_has_every_field_of_a_message() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--json"]);
    assert_eq!(server.ask("Hello UNIX socket!\n"), format!("{REPLY}\n"));
    assert_eq!(server.ask("h\u{e9} \"quoted\" \\\n"), format!("{REPLY}\n"));
    let lines = server.process.stdout.first_lines(2);
    let event = |bytes: usize, text: &str| {
        json!({
            "event": "message",
            "bytes": bytes,
            "pid": std::process::id(),
            "comm": own_name(),
            "uid": rustix::process::getuid().as_raw(),
            "text": text,
        })
    };
    let parse = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
    assert_eq!(parse(&lines[0]), event(19, "Hello UNIX socket!"));
    assert_eq!(parse(&lines[1]), event(15, "h\u{e9} \"quoted\" \\"));
    assert_eq!(server.stop().is_clean().served, 2);
}

#[test]
fn what_is_not_text_is_base64_in_json() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--json"]);
    assert_eq!(server.ask(b"\xff\x00\xfe\n"), format!("{REPLY}\n"));
    let lines = server.process.stdout.first_lines(1);
    let event: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(event["bytes"], 4);
    assert!(event.get("text").is_none(), "`data` instead of `text`");
    // With the newline or without it: only the text says it.
    let data = event["data"].as_str().expect("base64");
    assert!(["/wD+", "/wD+Cg=="].contains(&data), "{event}");
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let place = Place::new();
    let plain = Server::start(place.at("plain"), &[]);
    let json = Server::start(place.at("json"), &["--json"]);
    let hostile = "red \u{1b}[31m del \u{7f} c1 \u{9b}2J tab \t cr \r nul \0 bell \u{7} fin";
    for server in [&plain, &json] {
        assert_eq!(server.ask(format!("{hostile}\n")), format!("{REPLY}\n"));
    }
    let line = &plain.process.stdout.first_lines(1)[0];
    no_control_characters(line);
    for part in ["red ", "[31m del ", " c1 ", "2J tab ", " fin"] {
        assert!(line.contains(part), "the rest is shown: {line}");
    }
    let line = &json.process.stdout.first_lines(1)[0];
    no_control_characters(line);
    let event: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(event["text"], hostile, "and JSON gives it back unchanged");
}

#[test]
fn bytes_that_are_not_text_do_not_break_the_line() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    assert_eq!(server.ask(b"a\xffb\x9b2Jc\n"), format!("{REPLY}\n"));
    // Not by `lines`, which would paper over what is not UTF-8.
    server.process.stdout.first_lines(1);
    let mut server = server;
    server.terminate();
    server.process.wait();
    let bytes = server.process.stdout.all();
    let text = String::from_utf8(bytes).expect("the output is text");
    no_control_characters(text.strip_suffix('\n').expect("one line"));
}

#[test]
fn the_name_of_a_process_is_escaped_too() {
    const CLIENT: &str = r"
import socket, sys
with open('/proc/self/comm', 'wb') as comm:
    comm.write('e\x1b[2J\x7f\u009b)\n'.encode())
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b'hi\n')
    assert s.recv(100).endswith(b'\n')
print('done')
";
    let place = Place::new();
    let plain = Server::start(place.at("plain"), &[]);
    let json = Server::start(place.at("json"), &["--json"]);
    let Some(mut client) = python(CLIENT) else {
        return;
    };
    let client = Process::spawn(client.args([&plain.path, &json.path]));
    client.stdout.first_lines(1);
    let line = &plain.process.stdout.first_lines(1)[0];
    no_control_characters(line);
    assert!(line.starts_with("received 3 bytes from pid "), "{line}");
    assert!(line.ends_with(": hi"), "{line}");
    assert!(
        line.contains("[2J"),
        "the rest of the name is shown: {line}"
    );
    let line = &json.process.stdout.first_lines(1)[0];
    no_control_characters(line);
    let event: Value = serde_json::from_str(line).expect("JSON");
    let name = event["comm"].as_str().expect("a name");
    assert!(name.starts_with('e') && name.contains("[2J"), "{name:?}");
}

#[test]
fn a_raw_message_is_one_line_whatever_it_contains() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--framing", "raw"]);
    let mut client = server.client();
    client.send("one\ntwo\nthree\n");
    client.line();
    client.send("next");
    client.line();
    let lines = server.process.stdout.first_lines(2);
    for line in &lines {
        assert!(line.starts_with("received "), "{lines:?}");
    }
    assert!(lines[0].contains("one") && lines[0].contains("three"));
    assert!(lines[1].ends_with(": next"), "{lines:?}");
}

#[test]
fn a_message_that_could_not_be_logged_is_not_acknowledged() {
    for kind in ["stream", "seqpacket", "dgram"] {
        let place = Place::new();
        let address = format!("{kind}:{}", place.socket().display());
        let mut server = Process::spawn(
            std::process::Command::new("sh")
                .args(["-c", "exec \"$0\" serve \"$1\" >/dev/full"])
                .arg(sockeye().get_program())
                .arg(&address),
        );
        server
            .stderr
            .line("the greeting", |line| line.starts_with("listening on"));
        let asked = run(sockeye().args(["send", "--timeout", "10s", &address, "hello"]));
        assert!(!asked.text().contains(REPLY), "{kind}: {asked:#?}");
        let ended = server.finish();
        assert_eq!(ended.code, Some(1), "{kind}: {ended:#?}");
        assert!(
            ended.stderr.contains("cannot write to standard output"),
            "{ended:#?}"
        );
    }
}
