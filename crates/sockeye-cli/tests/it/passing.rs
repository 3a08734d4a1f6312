//! `send --fd`, and what `serve` says of descriptors that came.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Place, Process, REPLY, Server, eventually, python, run, run_with_input, sockeye,
};

const KINDS: [&str; 3] = ["unix", "seqpacket", "dgram"];

#[track_caller]
fn serve(kind: &str, place: &Place, options: &[&str]) -> Server {
    let path = place.socket();
    Server::started_by(Server::command(options).arg(address(kind, place)), path)
}

fn address(kind: &str, place: &Place) -> String {
    format!("{kind}:{}", place.socket().display())
}

/// `sockeye send --fd FILE… ADDRESS`
fn send<P: AsRef<Path>>(kind: &str, place: &Place, files: impl IntoIterator<Item = P>) -> Command {
    let mut command = sockeye();
    command.arg("send").arg(address(kind, place));
    for file in files {
        command.arg("--fd").arg(file.as_ref());
    }
    command
}

fn open_files(server: &Server) -> usize {
    let dir = format!("/proc/{}/fd", server.process.id());
    fs::read_dir(dir).expect("the server is there").count()
}

#[test]
fn what_came_is_shown_and_closed() {
    for kind in KINDS {
        let place = Place::new();
        let mut server = serve(kind, &place, &["--fds"]);
        run(send(kind, &place, [""; 0]).arg("none")).succeeds();
        let before = open_files(&server);
        let odd = place.at("a\x1b[31m\\b\n");
        fs::write(&odd, "x").expect("our own place");
        let pipe = place.at("pipe");
        // Nobody writes to it, and that is not waited for.
        run(Command::new("mkfifo").arg(&pipe)).succeeds();
        for files in [
            vec![Path::new("/etc/passwd")],
            vec![Path::new("/"), Path::new("/dev/null"), &odd],
            vec![pipe.as_path()],
        ] {
            let said = run(send(kind, &place, files).arg("take these"));
            assert_eq!(said.succeeds().text(), format!("{REPLY}\n"));
        }
        run(send(kind, &place, [&odd; 253]).arg("as many as can be")).succeeds();
        eventually("as many descriptors as before", || {
            (open_files(&server) == before).then_some(())
        });
        let ending = server.stop();
        ending.is_clean();
        let lines: Vec<&str> = ending
            .stdout
            .lines()
            .filter(|line| line.starts_with("  "))
            .collect();
        let dir = place.dir().display();
        let odd = format!("\"{dir}/a\\x1b[31m\\\\b\\x0a\" (regular file, read-only)");
        assert_eq!(
            lines[..3],
            [
                "  with 1 descriptor: /etc/passwd (regular file, read-only)",
                &format!(
                    "  with 3 descriptors: / (directory, read-only), /dev/null (character device, read-only), {odd}"
                ),
                &format!("  with 1 descriptor: {dir}/pipe (pipe, read-only)"),
            ]
        );
        assert_eq!(
            lines[3],
            format!("  with 253 descriptors: {}", vec![odd; 253].join(", "))
        );
        assert_eq!(lines.len(), 4);
    }
}

#[test]
fn a_descriptor_goes_with_what_comes_from_standard_input() {
    for kind in KINDS {
        let place = Place::new();
        let mut server = serve(kind, &place, &["--fds"]);
        let said = run_with_input(&mut send(kind, &place, ["/etc/passwd"]), "hello\n");
        said.succeeds();
        let nothing = run(&mut send(kind, &place, ["/etc/passwd"]));
        if kind == "unix" {
            nothing.fails(1, &["descriptors without a byte", "send a byte"]);
        } else {
            nothing.succeeds();
        }
        let ending = server.stop();
        let came = ending
            .stdout
            .matches("with 1 descriptor: /etc/passwd")
            .count();
        assert_eq!(came, if kind == "unix" { 1 } else { 2 }, "{ending:#?}");
    }
}

#[test]
fn what_cannot_be_passed_is_an_error_before_anything_is_sent() {
    for kind in KINDS {
        let place = Place::new();
        let mut server = serve(kind, &place, &["--json"]);
        let too_many = run(send(kind, &place, ["/etc/passwd"; 254]).arg("x"));
        too_many.fails(2, &["254", "253", "several messages"]);
        let missing = run(send(kind, &place, ["/etc/passwd", "/no/such"]).arg("x"));
        missing.fails(1, &["/no/such", "nothing was sent"]);
        let socket = run(send(kind, &place, [place.socket()]).arg("x"));
        socket.fails(1, &["app.sock", "nothing was sent"]);
        let ending = server.stop();
        assert_eq!(ending.is_clean().served, 0);
        assert_eq!(ending.stdout, "");
    }
}

#[test]
fn a_pipe_blocks_as_it_would_for_anybody() {
    let place = Place::new();
    let Some(mut server) = python(
        r"
import os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print('ready')
_, fds, _, sender = socket.recv_fds(server, 100, 1)
server.sendto(str(os.get_blocking(fds[0])).encode(), sender)
",
    ) else {
        return;
    };
    let server = Process::spawn(server.arg(place.socket()));
    server.stdout.first_lines(1);
    let pipe = place.at("pipe");
    run(Command::new("mkfifo").arg(&pipe)).succeeds();
    let said = run(send("dgram", &place, [&pipe]).arg("take this"));
    assert_eq!(said.succeeds().text(), "True\n");
}

#[test]
fn an_input_that_cannot_be_read_is_an_error() {
    for kind in KINDS {
        let place = Place::new();
        let _server = serve(kind, &place, &[]);
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            r#"exec "$0" send "$1" </"#,
            env!("CARGO_BIN_EXE_sockeye"),
        ]);
        let failed = run(shell.arg(address(kind, &place)));
        failed.fails(1, &["cannot", "Is a directory"]);
    }
}

/// Sends descriptors that have no path.
const CLIENT: &str = r"
import array, os, socket, sys
kind = getattr(socket, sys.argv[2])
client = socket.socket(socket.AF_UNIX, kind)
client.connect(sys.argv[1])
name = sys.argv[3].encode()
deleted = os.open(name, os.O_RDWR | os.O_CREAT)
os.unlink(name)
reader, writer = os.pipe()
fds = [os.memfd_create('a\x1bb'), deleted, writer, client.fileno(),
       os.eventfd(0), os.open('/', os.O_PATH)]
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))
client.sendmsg([b'take these\n'], [rights])
client.shutdown(socket.SHUT_WR)
";

#[test]
fn what_has_no_path_is_shown_as_the_kernel_calls_it() {
    for (kind, python_kind) in [
        ("unix", "SOCK_STREAM"),
        ("seqpacket", "SOCK_SEQPACKET"),
        ("dgram", "SOCK_DGRAM"),
    ] {
        let place = Place::new();
        let server = serve(kind, &place, &["--fds", "--json", "--discard"]);
        let Some(mut client) = python(CLIENT) else {
            return;
        };
        let name = place.dir().join(std::ffi::OsStr::from_bytes(b"g\xffne\\"));
        run(client
            .arg(&server.path)
            .arg(python_kind)
            .arg(name.to_string_lossy().as_ref()))
        .succeeds();
        let line = server.process.stdout.first_lines(1).remove(0);
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let descriptors = event["descriptors"].as_array().expect("a list");
        let shown = |index: usize, field: &str| {
            let value = &descriptors[index][field];
            value
                .as_str()
                .unwrap_or_else(|| panic!("{field} in {line}"))
                .to_owned()
        };
        let all = |index| [shown(index, "type"), shown(index, "access")];
        assert_eq!(shown(0, "path"), "/memfd:a\x1bb (deleted)");
        assert_eq!(all(0), ["regular file", "read-write"]);
        assert_eq!(
            shown(1, "path"),
            format!("{} (deleted)", name.to_string_lossy())
        );
        assert!(shown(2, "path").starts_with("pipe:["), "{line}");
        assert_eq!(all(2), ["pipe", "write-only"]);
        assert!(shown(3, "path").starts_with("socket:["), "{line}");
        assert_eq!(all(3), ["socket", "read-write"]);
        assert_eq!(all(4), ["anonymous file", "read-write"]);
        assert_eq!(
            (shown(5, "path"), shown(5, "access")),
            ("/".into(), "path only".into())
        );
        assert_eq!(descriptors.len(), 6);
    }
}

#[test]
fn a_server_that_may_open_no_more_says_so_and_goes_on() {
    for kind in KINDS {
        let place = Place::new();
        let script = r#"ulimit -n 40; exec "$0" serve --fds "$@""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_sockeye")]);
        let mut server = Server::started_by(shell.arg(address(kind, &place)), place.socket());
        run(send(kind, &place, [""; 0]).arg("none")).succeeds();
        let before = open_files(&server);
        let mut many = Process::spawn(send(kind, &place, ["/etc/passwd"; 60]).args([
            "--timeout",
            "300ms",
            "many",
        ]));
        server.process.stderr.line("the complaint", |line| {
            line.contains("more descriptors than this process may still open (ulimit -n)")
        });
        assert_eq!(many.finish().text(), "");
        let said = run(send(kind, &place, ["/etc/passwd"]).arg("fewer"));
        assert_eq!(said.succeeds().text(), format!("{REPLY}\n"));
        eventually("as many descriptors as before", || {
            (open_files(&server) == before).then_some(())
        });
        let ending = server.stop();
        assert_eq!(ending.was_cut().aborted, 1);
        assert!(!ending.stdout.contains("many"), "{ending:#?}");
    }
}
