//! How a subcommand ends whose output nobody reads, or that Ctrl-C ends.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Client, Place, Process, Server, eventually, serve_once, sockeye};

/// The signal that ended it, and what it said on standard error, where nobody reads its output.
fn without_a_reader(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.signal(), said)
}

#[test]
fn an_output_that_nobody_reads_ends_every_subcommand_in_silence() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let path = server.path.to_str().expect("plain");
    for arguments in [
        &["send", path, "hello"] as &[&str],
        &["ls", path],
        &["ls", "--all", "--json"],
        &["ls", "--watch=1h", path],
        &["why", path],
        &["why", "--json", path],
        &["demo"],
        &["--help"],
        &["serve", "--help"],
        &["--version"],
    ] {
        let (signal, said) = without_a_reader(sockeye().args(arguments));
        assert_eq!(signal, Some(Signal::PIPE.as_raw()), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let path = server.path.to_str().expect("plain");
    for arguments in [
        &["send", path, "hello"] as &[&str],
        &["ls", path],
        &["why", path],
        &["--help"],
        &["serve", "--help"],
        &["--version"],
    ] {
        let full = std::fs::File::create("/dev/full").expect("Linux");
        let output = sockeye().args(arguments).stdout(full).output();
        let output = output.expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.starts_with("sockeye: cannot write to standard output: "),
            "{said}"
        );
    }
}

/// A shell goes on with its loop unless the command died *by* the signal.
#[test]
fn ctrl_c_ends_a_subcommand_by_its_signal() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let path = server.path.to_str().expect("plain");
    for arguments in [
        &["connect", path] as &[&str],
        &["ls", "--watch=1h", path],
        &["demo"],
    ] {
        let mut process = Process::spawn_piped(sockeye().args(arguments));
        let stdin = process.stdin.as_mut().expect("piped");
        // It may have no interest in that.
        let _ = stdin.write_all(b"hello\n");
        process.stdout.first_lines(1);
        process.signal(Signal::INT);
        let status = process.wait();
        assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{arguments:?}");
    }
}

/// Both ends of what a terminal, a pipeline or a remote shell gives as standard output.
fn outputs() -> Vec<(&'static str, OwnedFd, OwnedFd)> {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (near, far) = UnixStream::pair().expect("a pair");
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).expect("ours");
    unlockpt(&master).expect("ours");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let slave = openat(
        CWD,
        name,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    vec![
        ("pipe", reader.into(), writer.into()),
        ("socket", near.into(), far.into()),
        ("terminal", master, slave.expect("unlocked")),
    ]
}

/// The command dies of SIGPIPE once nobody reads its output, in silence, and goes on until then.
#[track_caller]
fn ends_with_its_reader(mut command: Command, reader: OwnedFd, output: OwnedFd, what: &str) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(command);
    std::thread::sleep(Duration::from_millis(150));
    let status = child.try_wait().expect("our own child");
    assert_eq!(status, None, "{what}: somebody reads it");
    drop(reader);
    let output = child.wait_with_output().expect("our own child");
    let signal = output.status.signal();
    assert_eq!(signal, Some(Signal::PIPE.as_raw()), "{what}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{what}");
}

#[test]
fn send_and_connect_end_with_their_reader_and_not_before() {
    for arguments in [&["send", "hello"] as &[&str], &["connect"], &["send"]] {
        for (name, reader, output) in outputs() {
            let place = Place::new();
            let (done, wait) = std::sync::mpsc::channel::<()>();
            // It keeps the connection and says nothing.
            let server = serve_once(&place.socket(), move |mut stream| {
                stream
                    .read_to_end(&mut Vec::new())
                    .expect("the end of the input");
                let _ = wait.recv();
            });
            let mut command = sockeye();
            command
                .arg(arguments[0])
                .arg(place.socket())
                .args(&arguments[1..]);
            ends_with_its_reader(command, reader, output, &format!("{arguments:?} {name}"));
            drop(done);
            server.join().expect("served");
        }
    }
}

#[test]
fn waiting_for_a_server_ends_with_the_reader_and_not_before() {
    let place = Place::new();
    let full = listener_with_full_backlog(&place.at("full"));
    for arguments in [
        &["send", "--wait", "1h", "none", "hi"] as &[&str],
        &["send", "--wait", "1h", "seqpacket:none", "hi"],
        &["send", "--wait", "1h", "dgram:none", "hi"],
        &["send", "--wait", "1h", "@sockeye-test-nobody", "hi"],
        &["send", "-w", "1h", "full", "hi"],
        &["connect", "--wait", "1h", "none"],
        &["connect", "-w", "1h", "full"],
        &["bench", "--time", "1h", "--kind", "stream"],
    ] {
        for (name, reader, output) in outputs() {
            let mut command = sockeye();
            command.args(arguments).current_dir(place.dir());
            ends_with_its_reader(command, reader, output, &format!("{arguments:?} {name}"));
        }
    }
    drop(full);
}

#[test]
fn a_datagram_that_no_answer_is_wanted_to_waits_for_its_server_without_a_reader() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = sockeye();
    command
        .args(["send", "--no-answer", "--wait", "1h", "dgram:late", "hi"])
        .current_dir(place.dir());
    let mut child = command.stdout(writer).spawn().expect("started");
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(child.try_wait().expect("our own child"), None);
    let server = UnixDatagram::bind(place.at("late")).expect("a fresh path");
    assert!(child.wait().expect("our own child").success());
    let mut room = [0; 8];
    let count = server.recv(&mut room).expect("it was sent");
    assert_eq!(&room[..count], b"hi");
}

/// A listener that has no room for anybody, and who fills it.
fn listener_with_full_backlog(path: &Path) -> (OwnedFd, UnixStream) {
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(path).expect("short")).expect("a fresh path");
    listen(&fd, 0).expect("bound");
    let waiting = UnixStream::connect(path).expect("the one that fits");
    (fd, waiting)
}

#[test]
fn a_message_is_sent_although_nobody_reads_the_answer() {
    for _ in 0..20 {
        let place = Place::new();
        let server = serve_once(&place.socket(), |mut stream| {
            let mut came = String::new();
            stream.read_to_string(&mut came).expect("an orderly end");
            came
        });
        let (signal, _) = without_a_reader(sockeye().arg("send").arg(place.socket()).arg("hello"));
        assert_eq!(signal, Some(Signal::PIPE.as_raw()));
        assert_eq!(server.join().expect("served"), "hello\n");
    }
}

/// `sockeye serve … | head -1`
#[test]
fn a_server_whose_reader_leaves_says_so_and_drains() {
    for (name, reader, output) in outputs() {
        let place = Place::new();
        let mut command = Server::command(&["--quiet", "--drain", "20s"]);
        let mut child = command
            .arg(place.socket())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        drop(command);
        let mut client = eventually("it listens", || {
            UnixStream::connect(place.socket()).ok()?;
            Some(Client::connect(place.socket()))
        });
        client.converse("hello");
        client.send("a message that has beg");
        assert_eq!(child.try_wait().expect("our own child"), None);
        drop(reader);
        // No further message is needed for it to notice.
        eventually("new clients are refused", || {
            UnixStream::connect(place.socket()).is_err().then_some(())
        });
        client.send("un\n");
        client.finish();
        assert!(client.rest().ends_with(b"\n"), "what has begun is answered");
        let output = child.wait_with_output().expect("our own child");
        let said = String::from_utf8_lossy(&output.stderr);
        let told = "sockeye: nobody reads standard output any more: no new clients, draining for at most 20s\n";
        assert_eq!(said, told, "{name}");
        // The second line could not be printed.
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(place.names().is_empty(), "{name}: its files are gone");
    }
}

#[test]
fn a_server_whose_reader_leaves_when_all_was_printed_has_done_its_work() {
    let place = Place::new();
    let shell = r#""$0" serve app.sock | head -n 1; echo "${PIPESTATUS[0]}""#;
    let mut shell = Process::spawn(Command::new("bash").current_dir(place.dir()).args([
        "-c",
        shell,
        env!("CARGO_BIN_EXE_sockeye"),
    ]));
    shell
        .stderr
        .line("the greeting", |line| line.starts_with("listening on"));
    Client::connect(place.socket()).converse("hello");
    let ended = shell.finish();
    let lines: Vec<_> = ended.text().lines().map(str::to_owned).collect();
    assert!(lines[0].ends_with(": hello"), "{ended:#?}");
    assert_eq!(lines[1], "0", "{ended:#?}");
    assert!(
        ended.stderr.contains("nobody reads standard output"),
        "{ended:#?}"
    );
    assert!(place.names().is_empty(), "its files are gone");
}
