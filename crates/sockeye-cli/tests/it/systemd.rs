//! Sockets passed by a service manager: systemd's own tool for it, and python where that cannot.

use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{
    Client, Place, Process, REPLY, Server, python, require_peer, run, skipped, sockeye,
};

/// `systemd-socket-activate OPTIONS sockeye serve ADDRESS`, once it listens on all of `paths`.
#[track_caller]
fn activated(options: &[&str], paths: &[&Path], address: &str) -> Option<Process> {
    let mut command = Command::new(require_peer("systemd-socket-activate")?);
    for path in paths {
        command.arg("-l").arg(path);
    }
    command.args(options).arg(env!("CARGO_BIN_EXE_sockeye"));
    let process = Process::spawn(command.args(["serve", address]));
    for path in paths {
        let path = path.to_str().expect("a plain path");
        process
            .stderr
            .line("the socket", |line| line.contains(&format!("{path} as ")));
    }
    Some(process)
}

/// What the server says when it refuses to start; the lines of the tool come first.
#[track_caller]
fn refuses(mut process: Process, code: i32, words: &[&str]) {
    let ended = process.finish();
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    let last = ended.stderr.lines().last().expect("a last line");
    assert!(last.starts_with("sockeye: cannot listen on "), "{last}");
    for word in words {
        assert!(last.contains(word), "`{word}` is missing in: {last}");
    }
}

#[test]
fn a_passed_socket_is_served_and_not_removed() {
    for (options, address) in [
        (&[][..], "systemd:"),
        (&["--fdname=web"], "systemd:"),
        (&["--fdname=web"], "systemd:web"),
        (&["--fdname=web"], "unix:systemd:web"),
    ] {
        let place = Place::new();
        let path = place.socket();
        let Some(mut process) = activated(options, &[&path], address) else {
            return;
        };
        let before = place.snapshot();
        // It waits in the backlog until the server is there.
        Client::connect(&path).converse("first");
        Client::connect(&path).converse("second");
        process.signal(Signal::TERM);
        let ended = process.finish();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let greeting = format!("listening on {address} ({})\n", path.display());
        assert!(ended.stderr.contains(&greeting), "{ended:#?}");
        assert_eq!(place.snapshot(), before, "the file is not ours to remove");
    }
}

#[test]
fn every_kind_of_socket_is_served() {
    for (option, kind) in [("--seqpacket", "seqpacket"), ("--datagram", "dgram")] {
        for insists in [false, true] {
            let place = Place::new();
            let path = place.socket();
            let address = if insists {
                format!("{kind}:systemd:")
            } else {
                "systemd:".to_owned()
            };
            let Some(mut process) = activated(&[option], &[&path], &address) else {
                return;
            };
            let before = place.snapshot();
            let to = format!("{kind}:{}", path.display());
            for message in ["first", "second"] {
                let said = run(sockeye().args(["send", &to, message]));
                assert_eq!(said.succeeds().text(), format!("{REPLY}\n"));
            }
            process.signal(Signal::TERM);
            let ended = process.finish();
            assert_eq!(ended.code, Some(0), "{ended:#?}");
            assert!(ended.text().ends_with(": second\n"), "{ended:#?}");
            // What is shown can be typed.
            assert!(
                ended
                    .stderr
                    .contains(&format!("listening on {address} ({to})\n"))
            );
            assert_eq!(place.snapshot(), before, "the file is not ours to remove");
        }
    }
}

#[test]
fn one_of_several_is_served_by_its_name() {
    let place = Place::new();
    let (web, admin) = (place.at("web"), place.at("admin"));
    let names = &["--fdname=web:admin"];
    let Some(mut process) = activated(names, &[&web, &admin], "systemd:admin") else {
        return;
    };
    // Any of them starts the server.
    let _waits = UnixStream::connect(&web).expect("it listens");
    let mut client = Client::connect(&admin);
    client.send("hello\n");
    assert_eq!(client.line(), REPLY);
    process.signal(Signal::TERM);
    assert_eq!(process.finish().code, Some(0));
}

#[test]
fn a_name_must_be_clear() {
    for (names, address, code, words) in [
        ("web:admin", "systemd:mail", 3, &["web, admin"][..]),
        ("web:admin", "systemd:", 2, &["web, admin"]),
        ("web:web", "systemd:web", 2, &["FileDescriptorName="]),
    ] {
        let place = Place::new();
        let paths = [place.at("web"), place.at("admin")];
        let names = format!("--fdname={names}");
        let paths = [paths[0].as_path(), paths[1].as_path()];
        let Some(process) = activated(&[&names], &paths, address) else {
            return;
        };
        let _starts_it = UnixStream::connect(paths[0]).expect("it listens");
        refuses(process, code, words);
    }
}

#[test]
fn the_kind_of_the_address_is_insisted_on() {
    let place = Place::new();
    let path = place.socket();
    let Some(process) = activated(&["--datagram"], &[&path], "unix:systemd:") else {
        return;
    };
    let client = UnixDatagram::unbound().expect("a socket");
    client.send_to(b"hello", &path).expect("it is bound");
    refuses(process, 2, &["it is a datagram socket"]);
}

#[test]
fn a_connection_is_not_a_listener() {
    let place = Place::new();
    let path = place.socket();
    let options = &["--accept", "--fdname=connection"];
    let Some(process) = activated(options, &[&path], "systemd:") else {
        return;
    };
    let _client = UnixStream::connect(&path).expect("it listens");
    // The tool stays and starts one server for each connection.
    let said =
        |line: &str| line.starts_with("sockeye: cannot listen") && line.contains("Accept=no");
    process.stderr.line("the refusal", said);
}

#[test]
fn without_a_socket_there_is_nothing_to_serve() {
    for address in ["systemd:", "systemd:web"] {
        run(Server::command(&[]).arg(address)).fails(3, &["no socket", ".socket unit"]);
    }
    // They were meant for another process.
    let mut other = Server::command(&[]);
    other.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    run(other.arg("systemd:")).fails(3, &["no socket"]);
}

#[test]
fn a_malformed_environment_is_explained() {
    for (variables, words) in [
        ("LISTEN_PID=me", &["LISTEN_PID", "\"me\""][..]),
        ("LISTEN_PID=$$ LISTEN_FDS=some", &["LISTEN_FDS", "\"some\""]),
        (
            "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=a:b",
            &["LISTEN_FDNAMES", "2"],
        ),
        // Announced and not passed: a duplicate of descriptor 3 must not be taken for the fourth.
        (
            "LISTEN_PID=$$ LISTEN_FDS=2",
            &["LISTEN_FDS", "descriptor 4"],
        ),
        ("LISTEN_PID=$$ LISTEN_FDS=1", &["not a socket"]),
    ] {
        let script = format!(r#"{variables} exec "$0" serve systemd: 3</dev/null 4<&-"#);
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_sockeye")]);
        run(&mut shell).fails(2, words);
    }
}

/// The pid alone could be that of a process that has ended.
#[test]
fn the_id_of_the_pidfd_decides() {
    const SCRIPT: &str = "\
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[2])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
ours = os.fstat(os.pidfd_open(os.getpid())).st_ino
if ours == os.fstat(os.pidfd_open(os.getppid())).st_ino:
    sys.exit('no pidfs')
os.environ['LISTEN_PID'] = str(os.getpid())
os.environ['LISTEN_FDS'] = '1'
os.environ['LISTEN_PIDFDID'] = str(ours + int(sys.argv[3]))
os.execv(sys.argv[1], [sys.argv[1], 'serve', 'systemd:'])";
    let place = Place::new();
    let start = |path: &Path, off_by: &str| {
        let mut command = python(SCRIPT)?;
        command.arg(env!("CARGO_BIN_EXE_sockeye")).arg(path);
        Some(Process::spawn(command.arg(off_by)))
    };
    let Some(mut other) = start(&place.at("other"), "1") else {
        return;
    };
    let other = other.finish();
    if other.stderr.contains("no pidfs") {
        return skipped("a pidfd has no id before Linux 6.9");
    }
    other.fails(3, &["no socket"]);

    let path = place.socket();
    let mut ours = start(&path, "0").expect("as before");
    ours.stderr.line("the greeting", |line| {
        line.starts_with("listening on systemd: (")
    });
    Client::connect(&path).converse("hello");
    ours.signal(Signal::TERM);
    assert_eq!(ours.finish().code, Some(0));
}
