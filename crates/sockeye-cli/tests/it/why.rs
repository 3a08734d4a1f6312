//! Every cause that `why` knows, built for real.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, Mode, XattrFlags, mkfifoat, setxattr};
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketType, bind, listen, socket};
use serde_json::Value;

use crate::support::{
    Place, Process, Server, as_other_user, copy_of_sockeye, is_root, optional_peer, python, run,
    set_mode, skipped, sockeye, stale_socket,
};

/// What `why` says.
struct Told {
    code: i32,
    json: Value,
    text: String,
}

impl Told {
    /// Runs both ways: for people and for programs.
    #[track_caller]
    fn by(command: impl Fn() -> Command) -> Self {
        let text = run(&mut command());
        let json = run(command().arg("--json"));
        assert_eq!(text.code, json.code, "{text:#?} {json:#?}");
        assert_eq!(text.stderr, "", "a verdict is a result: {text:#?}");
        let told = Self {
            code: text.code.expect("no signal"),
            json: serde_json::from_slice(&json.stdout).expect("one object"),
            text: text.text(),
        };
        assert_eq!(told.json["exit"], told.code, "{}", told.text);
        for line in ["verdict: ", "advice: "] {
            let lines = told.text.lines();
            let count = lines.filter(|text| text.starts_with(line)).count();
            assert_eq!(count, 1, "one {line}in: {}", told.text);
        }
        told
    }

    /// This exit code and cause, and every word in the text.
    #[track_caller]
    fn is(&self, code: i32, cause: &str, words: &[&str]) -> &Self {
        assert_eq!(
            (self.code, self.json["cause"].as_str()),
            (code, Some(cause)),
            "{}",
            self.text
        );
        for word in words {
            assert!(self.text.contains(word), "`{word}` in: {}", self.text);
        }
        self
    }

    /// The statuses of the steps that looked at this.
    fn steps(&self, check: &str) -> Vec<&str> {
        let steps = self.json["steps"].as_array().expect("an array");
        let of_it = steps.iter().filter(|step| step["check"] == check);
        of_it
            .map(|step| step["status"].as_str().expect("a word"))
            .collect()
    }
}

#[track_caller]
fn why(address: impl AsRef<OsStr>, options: &[&str]) -> Told {
    Told::by(|| {
        let mut command = sockeye();
        command.arg("why").args(options).arg(address.as_ref());
        command
    })
}

fn kind(kind: &str, path: &Path) -> OsString {
    let mut address = OsString::from(kind);
    address.push(path);
    address
}

fn own_pid() -> String {
    format!("pid {} (", std::process::id())
}

/// Without root nobody knows what other users' processes have open.
#[track_caller]
fn is_stale(told: &Told) {
    match is_root() {
        true => told.is(3, "stale", &["stale"]),
        false => told.is(7, "nobody-seen", &["nobody that I can see", "--connect"]),
    };
}

fn unconnected(kind: SocketType, path: &Path) -> OwnedFd {
    let fd = socket(AddressFamily::UNIX, kind, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(path).expect("short")).expect("a fresh path");
    fd
}

#[test]
fn a_server_that_listens() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let pid = format!("pid {} (sockeye, since 20", server.process.id());
    let told = why(place.socket(), &[]);
    told.is(0, "none", &[&pid, "0 waiting, limit"]);
    let listener = &told.json["listener"];
    assert_eq!(listener["holders"][0]["pid"], server.process.id());
    assert_eq!(listener["waiting"], 0);
    assert_eq!(listener["state"], "listening");
    assert!(told.json["advice"].as_str().is_some_and(|a| !a.is_empty()));
    // The way is told from the root on, each directory once.
    let above = place.dir().ancestors().count();
    assert_eq!(told.steps("directory"), vec!["ok"; above], "{}", told.text);
    assert_eq!(told.steps("permission"), ["ok"]);
}

#[test]
fn it_never_connects_unless_asked() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    listener.set_nonblocking(true).expect("our own");
    why(place.socket(), &[]).is(0, "none", &[&own_pid()]);
    listener.accept().expect_err("nobody came");
    why(place.socket(), &["--connect"]).is(0, "none", &["connected"]);
    listener.accept().expect("somebody came");
}

#[test]
fn a_relative_path_is_walked_from_here() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let told = Told::by(|| {
        let mut command = sockeye();
        command.current_dir(place.dir()).args(["why", "app.sock"]);
        command
    });
    told.is(0, "none", &[]);
    assert_eq!(told.steps("directory"), ["ok"]);
}

#[test]
fn links_are_followed() {
    let place = Place::new();
    fs::create_dir(place.at("real")).expect("our own place");
    let _listener = UnixListener::bind(place.at("real/app.sock")).expect("a fresh path");
    symlink("real/../real/", place.at("dir")).expect("a fresh path");
    symlink(place.at("dir/app.sock"), place.at("link")).expect("a fresh path");
    let told = why(place.at("link"), &[]);
    told.is(
        0,
        "none",
        &["symbolic link to", "real/app.sock is a socket"],
    );
    assert_eq!(told.steps("link"), ["ok", "ok"]);
}

#[test]
fn a_link_of_proc_is_followed() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let path = format!(
        "/proc/{}/root{}",
        std::process::id(),
        place.socket().display()
    );
    why(path, &[]).is(0, "none", &[&own_pid()]);
}

#[test]
fn links_in_a_circle() {
    let place = Place::new();
    symlink("b", place.at("a")).expect("a fresh path");
    symlink("a", place.at("b")).expect("a fresh path");
    symlink(".", place.at("here")).expect("a fresh path");
    let told = why(place.at("a"), &[]);
    told.is(1, "loop", &["circle"]);
    assert_eq!(told.steps("link"), ["ok", "ok", "no"], "each once");
    // Often is not in a circle.
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let often = |times| place.dir().join("here/".repeat(times)).join("app.sock");
    why(often(40), &[]).is(0, "none", &[]);
    UnixStream::connect(often(9)).expect("and the kernel thinks so too");
    why(often(41), &[]).is(1, "loop", &[]);
}

#[test]
fn nothing_there() {
    let place = Place::new();
    let path = place.socket();
    let plain = path.to_str().expect("plain");
    why(&path, &[]).is(3, "missing", &[plain, "does not exist"]);
    symlink("app.sock", place.at("link")).expect("a fresh path");
    why(place.at("link"), &[]).is(3, "dangling-link", &[plain, "symbolic link"]);
    why(place.at("no/such.sock"), &[]).is(3, "directory-missing", &["/no does not exist"]);
    fs::write(place.at("file"), "").expect("our own place");
    why(place.at("file/s"), &[]).is(3, "not-a-directory", &["/file is not a directory"]);
}

#[test]
fn not_a_socket() {
    let place = Place::new();
    fs::write(place.at("file"), "").expect("our own place");
    fs::create_dir(place.at("dir")).expect("our own place");
    mkfifoat(CWD, place.at("fifo"), Mode::RUSR).expect("our own place");
    let shown = [
        (place.at("file"), "a regular file"),
        (place.at("dir"), "a directory"),
        (place.at("fifo"), "a FIFO"),
        ("/dev/null".into(), "a device"),
    ];
    for (path, word) in shown {
        why(path, &[]).is(3, "not-a-socket", &[word]);
    }
}

#[test]
fn a_name_that_no_file_can_have() {
    let place = Place::new();
    why(place.at("x".repeat(256)), &[]).is(1, "io", &["too long"]);
}

#[test]
fn a_path_longer_than_an_address() {
    let place = Place::new();
    let dir = place.at("d".repeat(100));
    fs::create_dir(&dir).expect("our own place");
    let server = Server::start(dir.join("app.sock"), &[]);
    let told = why(&server.path, &["--connect"]);
    told.is(0, "none", &["107", "sockeye reaches it"]);
    assert_eq!(told.steps("length"), ["note"]);
}

#[test]
fn a_stale_file() {
    let place = Place::new();
    stale_socket(&place.socket());
    is_stale(&why(place.socket(), &[]));
    why(place.socket(), &["--connect"]).is(3, "stale", &["refused"]);
}

#[test]
fn a_stale_file_whose_connections_live() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let _client = UnixStream::connect(place.socket()).expect("listening");
    let _accepted = listener.accept().expect("waiting");
    drop(listener);
    let told = why(place.socket(), &[]);
    is_stale(&told);
    assert!(
        told.text.contains("older connections that still live: 1"),
        "{}",
        told.text
    );
}

#[test]
fn bound_and_not_listening() {
    let place = Place::new();
    let _fd = unconnected(SocketType::STREAM, &place.socket());
    why(place.socket(), &[]).is(3, "not-listening", &[&own_pid(), "does not listen"]);
}

#[test]
fn a_listener_that_was_shut_down() {
    let place = Place::new();
    let fd = unconnected(SocketType::STREAM, &place.socket());
    listen(&fd, 8).expect("bound");
    rustix::net::shutdown(&fd, Shutdown::Read).expect("listening");
    UnixStream::connect(place.socket()).expect_err("refused");
    why(place.socket(), &[]).is(3, "shut-down", &[&own_pid(), "shut down"]);
}

#[test]
fn another_kind() {
    let place = Place::new();
    let _datagram = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let told = why(place.socket(), &[]);
    told.is(3, "kind", &[&own_pid(), "datagram", "dgram:/"]);
    assert_eq!(told.json["listener"]["kind"], "dgram");
    why(kind("dgram:", &place.socket()), &["--connect"]).is(0, "none", &["receives"]);
    let packets = unconnected(SocketType::SEQPACKET, &place.at("packets"));
    listen(&packets, 1).expect("bound");
    why(place.at("packets"), &[]).is(3, "kind", &["seqpacket:/"]);
    why(kind("seqpacket:", &place.at("packets")), &["--connect"]).is(0, "none", &[]);
}

#[test]
fn a_datagram_socket_that_has_a_peer() {
    let place = Place::new();
    let reserved = UnixDatagram::bind(place.socket()).expect("a fresh path");
    let _peer = UnixDatagram::bind(place.at("peer")).expect("a fresh path");
    reserved.connect(place.at("peer")).expect("it is there");
    let told = why(kind("dgram:", &place.socket()), &["--connect"]);
    told.is(5, "reserved", &[&own_pid()]);
    assert_eq!(told.steps("connect"), ["no"], "and the kernel says so too");
}

#[test]
fn a_full_backlog() {
    let place = Place::new();
    let fd = unconnected(SocketType::STREAM, &place.socket());
    listen(&fd, 2).expect("bound");
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(UnixStream::connect(place.socket()).expect("there is room"));
    }
    why(place.socket(), &[]).is(0, "none", &["2 waiting, limit 2\n"]);
    clients.push(UnixStream::connect(place.socket()).expect("there is room for one more"));
    let told = why(place.socket(), &[]);
    told.is(6, "full", &[&own_pid(), "3 waiting, limit 2, full"]);
    assert_eq!(told.json["listener"]["waiting"], 3);
    let told = why(place.socket(), &["--connect"]);
    told.is(6, "full", &[]);
    assert_eq!(told.steps("connect"), ["no"]);
}

#[test]
fn a_file_that_was_removed_under_its_server() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    fs::remove_file(place.socket()).expect("our own place");
    why(place.socket(), &[]).is(3, "removed", &[&own_pid(), "still lives"]);
    fs::write(place.socket(), "").expect("our own place");
    why(place.socket(), &[]).is(3, "removed", &["regular file", "still lives"]);
}

#[test]
fn a_directory_that_was_removed_under_its_server() {
    let place = Place::new();
    fs::create_dir(place.at("run")).expect("our own place");
    let _listener = UnixListener::bind(place.at("run/app.sock")).expect("a fresh path");
    fs::remove_dir_all(place.at("run")).expect("our own place");
    why(place.at("run/app.sock"), &[]).is(3, "removed", &[&own_pid(), "/run does not exist"]);
}

#[test]
fn a_path_that_replaced_an_older_servers() {
    let place = Place::new();
    let _old = UnixListener::bind(place.socket()).expect("a fresh path");
    fs::remove_file(place.socket()).expect("our own place");
    let server = Server::start(place.socket(), &[]);
    let old = format!("an older server still lives, {}", own_pid());
    let new = format!("pid {} (sockeye", server.process.id());
    why(place.socket(), &[]).is(0, "none", &[&old, &new]);
    drop(server);
    fs::remove_file(place.socket()).ok();
    stale_socket(&place.socket());
    let told = why(place.socket(), &[]);
    is_stale(&told);
    assert!(told.text.contains(&old), "{}", told.text);
}

#[test]
fn a_file_under_another_name() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.at("before")).expect("a fresh path");
    fs::rename(place.at("before"), place.at("after")).expect("our own place");
    why(place.at("after"), &[]).is(0, "none", &[&own_pid()]);
}

#[test]
fn names_are_escaped() {
    let place = Place::new();
    let path = place.at(OsStr::from_bytes(b"a\x1b[2J b\n\xff"));
    let _listener = UnixListener::bind(&path).expect("a fresh path");
    let told = why(&path, &[]);
    told.is(0, "none", &["a\\x1b[2J b\\n\\xff is a socket"]);
    assert!(told.json["address_base64"].is_string());
}

#[test]
fn a_directory_without_the_search_bit() {
    let (place, tools) = (Place::new(), Place::new());
    place.set_mode(0o755);
    let dir = place.at("closed");
    fs::create_dir(&dir).expect("our own place");
    let _listener = UnixListener::bind(dir.join("app.sock")).expect("a fresh path");
    set_mode(&dir, 0o600);
    let copy = copy_of_sockeye(&tools);
    let told = as_other_user(copy.as_os_str()).map(|_| {
        Told::by(|| {
            let mut command = as_other_user(copy.as_os_str()).expect("just now");
            command.arg("why").arg(dir.join("app.sock"));
            command
        })
    });
    let for_other = is_root().then(|| why(dir.join("app.sock"), &["--user", "65534"]));
    set_mode(&dir, 0o700);
    for told in told.iter().chain(&for_other) {
        told.is(
            5,
            "directory",
            &["closed may not be searched", "mode 0600", "no x for"],
        );
    }
    // Root sees what lies behind, and says what else is in the way.
    if let Some(told) = for_other {
        assert_eq!(told.steps("permission"), ["no"], "{}", told.text);
        assert_eq!(told.steps("listener"), ["ok"], "{}", told.text);
    }
}

#[test]
fn a_socket_without_the_write_bit() {
    let (place, tools) = (Place::new(), Place::new());
    place.set_mode(0o755);
    let server = Server::start(place.socket(), &["--mode", "0400"]);
    let copy = copy_of_sockeye(&tools);
    if as_other_user(copy.as_os_str()).is_none() {
        return;
    }
    let told = Told::by(|| {
        let mut command = as_other_user(copy.as_os_str()).expect("just now");
        command.arg("why").arg(&server.path);
        command
    });
    told.is(
        5,
        "permission",
        &["may not be written", "mode 0400", "no w for"],
    );
    assert_eq!(told.steps("permission"), ["no"]);
}

#[test]
fn another_user_is_judged_by_the_bits_and_its_groups() {
    if !is_root() {
        return skipped("not root");
    }
    let place = Place::new();
    place.set_mode(0o755);
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let path = place.socket();
    let daemon = |owner, group, mode| {
        chown(&path, Some(owner), Some(group)).expect("we are root");
        set_mode(&path, mode);
        why(&path, &["--user", "daemon"])
    };
    daemon(0, 0, 0o600).is(5, "permission", &["by user daemon", "no w for others"]);
    daemon(0, 0, 0o602).is(0, "none", &[]);
    // daemon's own group is 1.
    daemon(0, 1, 0o660).is(0, "none", &[]);
    daemon(0, 1, 0o606).is(5, "permission", &["no w for its group"]);
    daemon(1, 1, 0o060).is(5, "permission", &["no w for its owner"]);
    why(&path, &["--user", "root"]).is(0, "none", &["root may do without w"]);
    // Connecting would tell nothing of the other user.
    let told = why(&path, &["--user", "daemon", "--connect"]);
    assert_eq!(told.is(5, "permission", &[]).steps("connect"), ["note"]);
}

#[test]
fn an_access_list() {
    if !is_root() {
        return skipped("not root");
    }
    let place = Place::new();
    place.set_mode(0o755);
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let path = place.socket();
    let entry = |tag: u16, bits: u16, id: u32| {
        [
            &tag.to_le_bytes()[..],
            &bits.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let none = u32::MAX;
    let list = [
        vec![2, 0, 0, 0],
        entry(1, 6, none),
        entry(2, 6, 65534),
        entry(4, 0, none),
        entry(0x10, 6, none),
        entry(0x20, 0, none),
    ]
    .concat();
    let name = "system.posix_acl_access";
    if setxattr(&path, name, &list, XattrFlags::empty()).is_err() {
        return skipped("the file system has no access lists");
    }
    why(&path, &["--user", "65534"]).is(0, "none", &["access list"]);
    why(&path, &["--user", "65533"]).is(5, "permission", &["no w for others"]);
}

#[test]
fn a_link_of_somebody_else_in_an_open_sticky_directory() {
    let protected = fs::read_to_string("/proc/sys/fs/protected_symlinks");
    if !is_root() || !protected.is_ok_and(|value| value.trim() == "1") {
        return skipped("not root, or fs.protected_symlinks is off");
    }
    let place = Place::new();
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    fs::create_dir(place.at("open")).expect("our own place");
    set_mode(&place.at("open"), 0o1777);
    symlink(place.socket(), place.at("open/link")).expect("a fresh path");
    std::os::unix::fs::lchown(place.at("open/link"), Some(65534), None).expect("we are root");
    UnixStream::connect(place.at("open/link")).expect_err("the kernel does not follow");
    let told = why(place.at("open/link"), &["--connect"]);
    told.is(5, "protected-link", &["sticky"]);
}

#[test]
fn what_a_user_may_not_see_is_not_called_stale() {
    let (place, tools) = (Place::new(), Place::new());
    place.set_mode(0o755);
    stale_socket(&place.socket());
    set_mode(&place.socket(), 0o666);
    let copy = copy_of_sockeye(&tools);
    if as_other_user(copy.as_os_str()).is_none() {
        return;
    }
    let ask = |options: &[&str]| {
        Told::by(|| {
            let mut command = as_other_user(copy.as_os_str()).expect("just now");
            command.arg("why").args(options).arg(place.socket());
            command
        })
    };
    ask(&[]).is(7, "nobody-seen", &["nobody that I can see", "--connect"]);
    ask(&["--connect"]).is(3, "stale", &[]);
}

#[test]
fn abstract_names() {
    let name = format!("sockeye-test-{}-why", std::process::id());
    let shown = format!("@{name}");
    why(&shown, &[]).is(3, "nobody", &["nobody listens"]);
    why(&shown, &["--connect"]).is(3, "nobody", &["refused"]);
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let listener = UnixListener::bind_addr(&address).expect("a fresh name");
    why(&shown, &["--connect"]).is(0, "none", &[&own_pid(), "connected"]);
    why(format!("seqpacket:{shown}"), &[]).is(3, "kind", &[&own_pid(), &shown]);
    drop(listener);
    // Another name: a child that another test is starting may hold the listener for a moment more.
    let name = format!("{name}-2");
    let shown = format!("@{name}");
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("short");
    bind(&fd, &address).expect("a fresh name");
    why(&shown, &[]).is(3, "not-listening", &[&own_pid()]);
    listen(&fd, 0).expect("bound");
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let _waiting = UnixStream::connect_addr(&address).expect("the one that fits");
    why(&shown, &[]).is(6, "full", &["1 waiting, limit 0, full"]);
}

/// Listens on a path, or on an abstract name (@...), and says so.
const LISTENER: &str = "
import socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX)
s.bind('\\0' + name[1:] if name.startswith('@') else name)
s.listen(5)
print('up')
sys.stdin.read()
";

/// A server behind `unshare FLAGS sh -c PRELUDE`; `None` where that is not possible.
fn foreign(flags: &[&str], prelude: &str, name: &OsStr) -> Option<Process> {
    if !is_root() {
        skipped("not root");
        return None;
    }
    let (unshare, python) = (optional_peer("unshare")?, python(LISTENER)?);
    let mut command = Command::new(unshare);
    command
        .args(flags)
        .args(["sh", "-ec", &format!("{prelude}exec \"$0\" \"$@\"")])
        .arg(python.get_program())
        .args(python.get_args())
        .arg(name);
    let server = Process::spawn_piped(&mut command);
    server.stdout.first_lines(1);
    Some(server)
}

#[test]
fn another_network_namespace() {
    let place = Place::new();
    let Some(server) = foreign(&["-n"], "", place.socket().as_os_str()) else {
        return;
    };
    let pid = format!("pid {} (", server.id());
    let told = why(place.socket(), &["--connect"]);
    told.is(0, "none", &[&pid, "no obstacle for a path"]);
    let name = format!("@sockeye-test-{}-netns", std::process::id());
    let Some(server) = foreign(&["-n"], "", name.as_ref()) else {
        return;
    };
    let pid = format!("pid {} (", server.id());
    why(&name, &[]).is(3, "network-namespace", &[&pid, "another network namespace"]);
    why(&name, &["--connect"]).is(3, "network-namespace", &["refused"]);
}

#[test]
fn another_mount_namespace() {
    let place = Place::new();
    let mount = format!("mount -t tmpfs none {}; ", place.dir().display());
    let Some(server) = foreign(&["-m"], &mount, place.socket().as_os_str()) else {
        return;
    };
    let pid = format!("pid {} (", server.id());
    why(place.socket(), &[]).is(3, "mount-namespace", &[&pid, "mount namespace"]);
    // A directory that is missing here is no reason not to look there.
    let below = place.at("run/below.sock");
    let mount = format!("{mount}mkdir {}/run; ", place.dir().display());
    let Some(other) = foreign(&["-m"], &mount, below.as_os_str()) else {
        return;
    };
    let words = [&*format!("pid {} (", other.id()), "/run does not exist"];
    why(&below, &[]).is(3, "mount-namespace", &words);
    // With another server here, that one only is worth a word.
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let told = why(place.socket(), &[]);
    told.is(0, "none", &[&own_pid(), &pid]);
    assert_eq!(told.steps("namespace"), ["note"]);
}

#[test]
fn a_container_does_not_see_outside() {
    let place = Place::new();
    let Some(server) = foreign(&["-n"], "", place.socket().as_os_str()) else {
        return;
    };
    let Some(unshare) = optional_peer("unshare") else {
        return;
    };
    let contained = |options: &[&str]| {
        Told::by(|| {
            let mut command = Command::new(&unshare);
            command
                .args(["-p", "-n", "-f", "--mount-proc"])
                .arg(env!("CARGO_BIN_EXE_sockeye"))
                .arg("why")
                .args(options)
                .arg(place.socket());
            command
        })
    };
    contained(&[]).is(7, "nobody-seen", &["container", "--connect"]);
    contained(&["--connect"]).is(0, "none", &["connect succeeds"]);
    drop(server);
    contained(&["--connect"]).is(3, "stale", &[]);
}

#[test]
fn wrong_usage() {
    run(sockeye().args(["why", "fd:3"])).fails(2, &["fd:3", "path"]);
    run(sockeye().args(["why", "--user", "no-such-user-here", "/x"])).fails(2, &["no user"]);
    run(sockeye().arg("why")).fails(2, &["address"]);
}
