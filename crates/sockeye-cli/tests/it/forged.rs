//! What a stranger chooses (a process name, a text, a file name) is not taken for anything else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;
use serde_json::Value;

use crate::support::{Place, Process, Server, run, sockeye};

/// `sockeye` by another name: exec(2) makes the base name of the file that of the process.
fn named(place: &Place, name: &str) -> Command {
    let path = place.at(name);
    symlink(env!("CARGO_BIN_EXE_sockeye"), &path).expect("a fresh path");
    Command::new(path)
}

/// The line without what is in quotes.
fn outside_of_quotes(line: &str) -> String {
    let mut shown = String::new();
    let (mut inside, mut chars) = (false, line.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => inside = !inside,
            '\\' if inside => drop(chars.next()),
            c if !inside => shown.push(c),
            _ => {}
        }
    }
    assert!(!inside, "{line}");
    shown
}

#[test]
fn the_first_uid_outside_of_quotes_is_the_real_one() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let uid = format!("uid {}: ", geteuid().as_raw());
    for name in [
        "a) uid 0: hello",
        "a\") uid 0: \"b",
        "a\\\") uid 0: b",
        "a uid 0 root",
        "uid:0",
        "squid",
        "pid-1",
        "?",
        "a\nuid 0: x",
        "\u{202e}uid 0",
    ] {
        let text = format!("sent by {}", name.len());
        run(named(&place, name).arg("send").arg(&server.path).arg(&text)).succeeds();
        let line = server
            .process
            .stdout
            .line(&text, |line| line.ends_with(&text));
        let bare = outside_of_quotes(&line);
        let first = bare.find("uid").expect("one");
        assert!(bare[first..].starts_with(&uid), "{name:?}: {line}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
    }
}

#[test]
fn a_message_forges_no_escape_and_hides_nothing() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    server.ask("spoof \u{202e} \u{200b} \\u{202e} \\x1b\n");
    let line = server.process.stdout.first_lines(1).remove(0);
    let end = r": spoof \u{202e} \u{200b} \\u{202e} \\x1b";
    assert!(line.ends_with(end), "{line}");
}

#[test]
fn a_process_name_makes_no_columns() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    for name in ["x  9  fake", "x 9 root 3", "a,1b", "a\"  \"b"] {
        let mut command = named(&place, name);
        let client = Process::spawn_piped(command.arg("connect").arg(&server.path));
        crate::support::eventually("it is connected", || {
            let id = client.id().to_string();
            let listed = run(sockeye().args(["ls", "-H", "-o", "pid,user", "--pid", &id]));
            let row = listed.text().lines().next()?.to_owned();
            let bare = outside_of_quotes(&row);
            assert_eq!(bare.split_whitespace().count(), 2, "{row}");
            assert!(bare.starts_with(&format!("{id}/ ")), "{row}");
            Some(())
        });
    }
}

/// Names that could be taken for each other, or for more than a name.
fn odd_names() -> [&'static [u8]; 7] {
    [
        b"caf\xe9.sock",
        b"caf\\xe9.sock",
        b"caf\\\\xe9.sock",
        b"two  words.sock",
        b"app.sock (removed)",
        b"a\"b \\\n.sock",
        "\u{202e}kcos.\u{200b}".as_bytes(),
    ]
}

fn listed(path: &OsStr) -> Vec<Value> {
    let listed = run(sockeye().args(["ls", "-l", "--json"]).arg(path));
    let lines = listed.text();
    let rows = lines.lines();
    rows.map(|row| serde_json::from_str(row).expect("an object"))
        .collect()
}

#[test]
fn what_is_printed_can_be_typed_and_means_the_same() {
    let place = Place::new();
    let paths = odd_names().map(|name| place.at(OsStr::from_bytes(name)));
    let servers = paths.map(|path| Server::start(path, &[]));
    for server in &servers {
        let id = server.process.id();
        let holds = |row: &Value| row["holders"][0]["pid"] == id;
        let typed = server.path.as_os_str();
        let own = listed(typed);
        assert!(own.len() == 1 && holds(&own[0]), "{typed:?}: {own:?}");

        let printed = own[0]["address"].as_str().expect("a name").to_owned();
        let text = run(sockeye().args(["ls", "-lH", "-o", "address"]).arg(typed)).text();
        let in_a_row = text.trim_end().to_owned();
        let bare = outside_of_quotes(&in_a_row);
        assert!(!bare.contains(char::is_whitespace), "{in_a_row}");
        let said = server.greeting.strip_prefix("listening on ").expect("so");
        for again in [&printed, &in_a_row, said] {
            let rows = listed(again.as_ref());
            assert!(rows.len() == 1 && holds(&rows[0]), "{again}: {rows:?}");
            run(sockeye().args(["send", again, again])).succeeds();
            let why = run(sockeye().args(["why", "--json", again]));
            let why: Value = serde_json::from_slice(&why.stdout).expect("an object");
            assert_eq!(why["listener"]["holders"][0]["pid"], id, "{again}");
        }
    }
}

#[test]
fn a_server_binds_the_path_as_it_is_typed() {
    let place = Place::new();
    let byte = Server::start(place.at(OsStr::from_bytes(b"caf\xe9.sock")), &[]);
    // Though it reads as the escape of the other.
    let literal = Server::start(place.at(r"caf\xe9.sock"), &[]);
    assert!(literal.path.exists());
    assert!(byte.greeting.ends_with("/caf\\xe9.sock\""));
    assert!(literal.greeting.ends_with("/caf\\\\xe9.sock\""));
    let typed = byte.greeting.strip_prefix("listening on ").expect("so");
    run(Server::command(&[]).arg(typed)).fails(4, &["a running server"]);
    // A directory cannot be made by typing, so the one that is there is meant.
    let directory = place.at(OsStr::from_bytes(b"\xff"));
    std::fs::create_dir(&directory).expect("our own place");
    let mut typed = OsString::from(place.dir());
    typed.push(r"/\xff/app.sock");
    let path = directory.join("app.sock");
    let server = Server::started_by(Server::command(&[]).arg(typed), &path);
    assert!(Path::new(&server.path).exists());
}

#[test]
fn an_error_shows_a_name_as_it_can_be_typed() {
    let place = Place::new();
    let directory = place.at(OsStr::from_bytes(b"a\\\xff\x1b"));
    let failed = run(sockeye().arg("send").arg(directory.join("s")).arg("hello"));
    failed.fails(3, &[r"the directory ", r#"/a\\\xff\x1b" does not exist"#]);
    let failed = run(Server::command(&[]).arg(directory.join("s")));
    failed.fails(
        3,
        &[r#"/a\\\xff\x1b/s": "#, r#"/a\\\xff\x1b" does not exist"#],
    );
    let wrong = run(sockeye().args(["send", r"@a\b", "hello"]));
    wrong.fails(2, &["not an escape", r"write \\ for a backslash"]);
}
