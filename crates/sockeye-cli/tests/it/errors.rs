//! Every failure is one line: what was tried on which address, what was found, what to do.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use crate::support::{Place, Server, run, run_with_input, sockeye, stale_socket};

/// The subcommands that connect to a socket.
const CALLERS: [&str; 2] = ["send", "connect"];

fn call(subcommand: &str, path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = sockeye();
    command.arg(subcommand).arg(path);
    if subcommand == "send" {
        command.arg("hello");
    }
    command
}

/// `send` and `connect` fail alike: this code, the path, these words.
#[track_caller]
fn callers_fail(path: &Path, code: i32, words: &[&str]) {
    for subcommand in CALLERS {
        let tried = run(&mut call(subcommand, path));
        tried.fails(code, words);
        tried.explains(&[path.to_str().expect("plain")]);
    }
}

#[test]
fn a_path_that_is_missing_is_named() {
    let place = Place::new();
    callers_fail(
        &place.socket(),
        3,
        &["no such|does not exist|nothing|missing"],
    );
    callers_fail(&place.at("missing").join("app.sock"), 3, &[]);
}

#[test]
fn an_abstract_name_that_nobody_has_is_named() {
    let address = format!("@sockeye-test-{}-nobody", std::process::id());
    for subcommand in CALLERS {
        run(&mut call(subcommand, &address)).fails(3, &[&address]);
    }
}

#[test]
fn a_stale_file_is_named() {
    let place = Place::new();
    stale_socket(&place.socket());
    let before = place.snapshot();
    callers_fail(
        &place.socket(),
        3,
        &["nobody listens|stale|left behind", "start the server|serve"],
    );
    assert_eq!(place.snapshot(), before);
}

#[test]
fn the_file_of_a_killed_server_is_named_stale() {
    let place = Place::new();
    drop(Server::start(place.socket(), &[]));
    callers_fail(&place.socket(), 3, &["nobody listens|stale|left behind"]);
}

#[test]
fn a_file_that_is_no_socket_is_named() {
    let place = Place::new();
    fs::write(place.at("file"), "precious").expect("our own place");
    fs::create_dir(place.at("dir")).expect("our own place");
    mkfifoat(CWD, place.at("fifo"), Mode::RUSR | Mode::WUSR).expect("our own place");
    symlink("missing", place.at("dangling")).expect("our own place");
    let before = place.snapshot();
    callers_fail(&place.at("file"), 3, &["regular file|not a socket", "file"]);
    callers_fail(&place.at("dir"), 3, &["directory"]);
    callers_fail(&place.at("fifo"), 3, &["fifo|named pipe"]);
    callers_fail(&place.at("dangling"), 3, &[]);
    callers_fail(Path::new("/dev/null"), 3, &["device"]);
    callers_fail(&place.at("file").join("below"), 3, &[]);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn a_symlink_to_what_is_no_socket_names_what_it_is() {
    let place = Place::new();
    fs::write(place.at("file"), "precious").expect("our own place");
    symlink("file", place.at("link")).expect("our own place");
    callers_fail(&place.at("link"), 3, &["file"]);
}

#[test]
fn the_wrong_kind_names_the_real_one() {
    let place = Place::new();
    let _datagram = UnixDatagram::bind(place.at("d")).expect("a fresh path");
    callers_fail(&place.at("d"), 3, &["dgram|datagram"]);
    let fd = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(place.at("p")).expect("short")).expect("a fresh path");
    listen(&fd, 1).expect("bound");
    callers_fail(&place.at("p"), 3, &["seqpacket"]);
}

#[test]
fn a_missing_parent_directory_is_named() {
    let place = Place::new();
    let parent = place.at("missing");
    let tried = run(Server::command(&[]).arg(parent.join("app.sock")));
    tried.fails(3, &[parent.to_str().expect("plain"), "directory"]);
    // Of several, the path says which; a file in the place of a directory is no directory.
    run(Server::command(&[]).arg(parent.join("deeper").join("app.sock"))).fails(3, &["missing"]);
    fs::write(place.at("file"), "").expect("our own place");
    let tried = run(Server::command(&[]).arg(place.at("file").join("app.sock")));
    assert!(tried.code.is_some_and(|code| code != 0), "{tried:#?}");
    tried.explains(&[place.at("file").to_str().expect("plain")]);
    assert_eq!(place.names(), ["file"]);
}

#[test]
fn a_backlog_that_stays_full_is_out_of_time() {
    let place = Place::new();
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(place.socket()).expect("short")).expect("a fresh path");
    listen(&fd, 0).expect("bound");
    let _waiting = UnixStream::connect(place.socket()).expect("the one that fits");
    let path = place.socket();
    let tried = run(call("send", &path).args(["-w", "200ms"]));
    tried.fails(6, &[path.to_str().expect("plain")]);
    assert!(tried.took >= Duration::from_millis(150), "{:?}", tried.took);
}

#[test]
fn a_full_backlog_that_clears_is_no_error() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--backlog", "1"]);
    server.process.freeze();
    let waiting = [server.client(), server.client()];
    let mut client = crate::support::Process::spawn(call("send", &server.path).args(["-w", "20s"]));
    assert!(!client.ends_within(Duration::from_millis(100)), "it waits");
    server.process.thaw();
    client.finish().succeeds();
    drop(waiting);
}

#[test]
fn errors_name_relative_paths_as_they_were_given() {
    let place = Place::new();
    let tried = run(call("send", "missing.sock").current_dir(place.dir()));
    tried.fails(3, &["missing.sock"]);
}

#[test]
fn what_the_path_contains_is_escaped() {
    let place = Place::new();
    let path: PathBuf = place.at("a\nb\u{1b}[2J\u{9b}.sock");
    for subcommand in CALLERS {
        let tried = run(&mut call(subcommand, &path));
        tried.fails(3, &["[2J"]);
        let line = tried.stderr.trim_end();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    fs::write(&path, "precious").expect("our own place");
    let tried = run(Server::command(&[]).arg(&path));
    tried.fails(4, &["[2J"]);
    let line = tried.stderr.trim_end();
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

#[test]
fn errors_are_plain_text_where_there_is_no_terminal() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let tried = run(Server::command(&[]).arg(place.socket()));
    tried.fails(4, &[]);
    assert!(!tried.stderr.contains('\u{1b}'), "{:?}", tried.stderr);
}

#[test]
fn a_datagram_socket_that_is_connected_to_another_one_is_named() {
    let place = Place::new();
    let name = format!("sockeye-test-{}-reserved", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let other = UnixDatagram::bind(place.at("other")).expect("a fresh name");
    let sockets = [
        UnixDatagram::bind(place.socket()),
        UnixDatagram::bind_addr(&address),
    ];
    let sockets = sockets.map(|socket| socket.expect("a fresh name"));
    for socket in &sockets {
        socket.connect(place.at("other")).expect("it is bound");
    }
    for address in [
        format!("dgram:{}", place.socket().display()),
        format!("dgram:@{name}"),
    ] {
        for subcommand in CALLERS {
            let words = [
                "connected the socket to another one",
                "look at that process",
            ];
            run(&mut call(subcommand, &address)).fails(5, &words);
        }
    }
    drop(other);
}

#[test]
fn a_record_that_is_longer_than_the_kernel_carries_is_named() {
    let place = Place::new();
    let _server = UnixDatagram::bind(place.socket()).expect("a fresh path");
    for size in [5_000_000, 9_000_000] {
        let mut send = sockeye();
        send.args(["send", "--no-answer", "--max-message", "16M"]);
        send.arg(format!("dgram:{}", place.socket().display()));
        let said = run_with_input(&mut send, vec![b'x'; size]);
        said.fails(1, &["no record of this length", "4 MiB", "send less"]);
    }
}

#[test]
fn what_the_command_itself_finds_wrong_leads_to_the_help_too() {
    let place = Place::new();
    let path = place.socket();
    let path = path.to_str().expect("plain");
    for words in [
        &["serve", "--framing", "length", "seqpacket:@a"][..],
        &["serve", "-m", "600", "@a"],
        &["serve", "fd:99"],
        &["send", "--no-answer", path, "x"],
        &["send", "--bind", "@a", path, "x"],
        &["why", "fd:3"],
    ] {
        let see = format!("see sockeye {} --help", words[0]);
        run(sockeye().args(words)).fails(2, &[&see]);
    }
}
