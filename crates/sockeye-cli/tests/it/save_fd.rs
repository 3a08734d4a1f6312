//! `send --save-fd`: the files whose fds come with the answer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{
    Finished, Place, Process, Server, eventually, is_root, optional_peer, python, run, skipped,
    sockeye,
};

/// Answers one client, with fds of `DIR/file` and others, by a function of `behaviours`.
const SERVER: &str = r"
import array, os, signal, socket, sys
address, behaviour, directory = sys.argv[1:]
kind, path = address.split(':')
kind = dict(unix=socket.SOCK_STREAM, seqpacket=socket.SOCK_SEQPACKET, dgram=socket.SOCK_DGRAM)[kind]
server = socket.socket(socket.AF_UNIX, kind)
server.bind(path)
if kind != socket.SOCK_DGRAM: server.listen()
print('ready')
if kind == socket.SOCK_DGRAM:
    _, client = server.recvfrom(100)
    server.connect(client)
    connection = server
else:
    connection, _ = server.accept()
    connection.recv(100)
def send(*fds): connection.sendmsg([b'here\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
def memfd(content, position=None):
    fd = os.memfd_create('memfd')
    os.write(fd, content)
    if position is not None: os.lseek(fd, position, 0)
    return fd
name = directory + '/file'
def types():
    file = os.open(name, os.O_RDONLY)
    os.lseek(file, 3, 0)
    reader, writer = os.pipe()
    send(reader, file, os.open(name, os.O_WRONLY), os.open(name, os.O_PATH), server.fileno(),
         os.open(directory, os.O_RDONLY), os.open('/dev/null', os.O_RDONLY), os.eventfd(0), writer,
         os.open(name, os.O_RDWR | os.O_APPEND))
    print('position', os.lseek(file, 0, 1))
def many(): send(*[memfd(b'%d' % number) for number in range(253)])
def messages():
    send(memfd(b'one', 1), os.pipe()[0])
    send(memfd(b''), memfd(b'two', 0))
def sizes():
    sparse = os.memfd_create('sparse')
    os.truncate(sparse, 1 << 62)
    send(memfd(b'x' * 6000), sparse, memfd(b'y' * 5000), memfd(b'z'))
def proc():
    fd = os.open('/proc/version', os.O_RDONLY)
    os.read(fd, 5)
    send(fd)
def taken():
    os.symlink(name, directory + '/out/0')
    os.symlink(directory + '/new', directory + '/out/1')
    open(directory + '/out/2', 'w').write('kept')
    file = memfd(b'saved')
    send(file, file, file, file)
def too_large(): send(memfd(b'q' * 100000), memfd(b'small'))
def stays():
    send(memfd(b'saved'), memfd(b''))
    sys.stdin.read()
def nothing(): connection.send(b'here\n')
globals()[behaviour]()
";

fn address(kind: &str, place: &Place) -> String {
    format!("{kind}:{}", place.socket().display())
}

/// The server, and `send --save-fd out`, which has not been started.
#[track_caller]
fn server(kind: &str, place: &Place, behaviour: &str) -> Option<(Process, Command)> {
    fs::write(place.at("file"), "content").expect("our own place");
    let out = place.at("out");
    fs::create_dir_all(&out).expect("our own place");
    let mut command = python(SERVER)?;
    let command = command.arg(address(kind, place)).arg(behaviour);
    let server = Process::spawn_piped(command.arg(place.dir()));
    server.stdout.first_lines(1);
    Some((server, send(kind, place, &out)))
}

fn send(kind: &str, place: &Place, out: &Path) -> Command {
    let mut command = sockeye();
    command.args(["send", "--save-fd"]).arg(out);
    command.arg(address(kind, place)).arg("please");
    command
}

#[track_caller]
fn saves(kind: &str, behaviour: &str, options: &[&str]) -> Option<(Finished, Saved, Process)> {
    let place = Place::new();
    let (server, mut send) = server(kind, &place, behaviour)?;
    let finished = run(send.args(options));
    Some((finished, saved(&place.at("out")), server))
}

type Saved = BTreeMap<String, String>;

fn saved(directory: &Path) -> Saved {
    let entries = fs::read_dir(directory).expect("our own directory");
    let entries = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let content = fs::read(entry.path()).expect("a file");
        let name = entry.file_name().into_string().expect("a number");
        (name, String::from_utf8_lossy(&content).into_owned())
    });
    entries.collect()
}

fn files(expected: &[(&str, &str)]) -> Saved {
    let own = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    expected.iter().map(own).collect()
}

const KINDS: [&str; 3] = ["unix", "seqpacket", "dgram"];

#[test]
fn as_many_files_as_can_come_are_saved_in_order() {
    for kind in KINDS {
        let Some((finished, saved, _server)) = saves(kind, "many", &[]) else {
            return;
        };
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished.explains(&["253 file descriptors came", "saved in", "out: 0-252"]);
        let expected = (0..253).map(|number| (number.to_string(), number.to_string()));
        assert_eq!(saved, expected.collect());
    }
}

#[test]
fn what_is_no_readable_file_is_closed_and_named() {
    for kind in KINDS {
        let Some((finished, saved, mut server)) = saves(kind, "types", &[]) else {
            return;
        };
        assert_eq!(finished.code, Some(7), "{finished:#?}");
        finished.explains(&[
            "10 file descriptors came",
            "out: 1, 9; closed: 0, 8 (pipe); 2 (regular file, write-only); \
             3 (regular file, path only); 4 (socket); 5 (directory); 6 (character device); \
             7 (anonymous file)\n",
        ]);
        assert_eq!(saved, files(&[("1", "content"), ("9", "content")]));
        // The client has read it from the beginning.
        assert_eq!(server.finish().text(), "ready\nposition 3\n");
    }
}

#[test]
fn numbers_go_on_from_message_to_message() {
    for kind in ["unix", "seqpacket"] {
        let Some((finished, saved, _server)) = saves(kind, "messages", &[]) else {
            return;
        };
        assert_eq!(finished.code, Some(7), "{finished:#?}");
        finished.explains(&["out: 0, 2-3; closed: 1 (pipe)"]);
        assert_eq!(saved, files(&[("0", "one"), ("2", ""), ("3", "two")]));
    }
}

#[test]
fn no_more_is_saved_than_asked() {
    let options = ["--max-saved", "15000"];
    let Some((finished, saved, _server)) = saves("unix", "sizes", &options) else {
        return;
    };
    assert_eq!(finished.code, Some(7), "{finished:#?}");
    // The last one would cost a block.
    finished.explains(&[
        "out: 0, 2;",
        "closed: 1 (regular file of 4611686018427387904 bytes; --max-saved allows more); 3 (",
    ]);
    assert_eq!(saved.into_keys().collect::<Vec<_>>(), ["0", "2"]);
}

#[test]
fn a_file_of_proc_is_saved_though_its_size_is_0() {
    let Some((finished, saved, _server)) = saves("unix", "proc", &[]) else {
        return;
    };
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    let version = fs::read_to_string("/proc/version").expect("Linux");
    assert_eq!(saved, files(&[("0", &version)]));
}

#[test]
fn that_nothing_came_is_reported() {
    for kind in KINDS {
        let Some((finished, saved, _server)) = saves(kind, "nothing", &[]) else {
            return;
        };
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished.explains(&["no file descriptor came"]);
        assert_eq!(saved, files(&[]));
    }
}

#[test]
fn a_file_that_appears_meanwhile_is_neither_overwritten_nor_followed() {
    let place = Place::new();
    let Some((_server, mut send)) = server("unix", &place, "taken") else {
        return;
    };
    let finished = run(&mut send);
    assert_eq!(finished.code, Some(7), "{finished:#?}");
    finished.explains(&["out: 3; closed: 0-2 (a file of that name exists)"]);
    let content = |name| fs::read_to_string(place.at(name)).expect("a file");
    assert_eq!(content("file"), "content");
    assert_eq!(content("out/2"), "kept");
    assert_eq!(content("out/3"), "saved");
    assert!(!place.at("new").exists());
}

#[test]
fn a_directory_that_will_not_do_is_refused_before_anything_is_sent() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    let refused = |code, words: &str| {
        let finished = run(&mut send("unix", &place, &place.at("out")));
        finished.fails(code, &[words, "nothing was sent"]);
    };
    refused(1, "mkdir");
    fs::write(place.at("out"), "a file").expect("our own place");
    refused(1, "not a directory");
    fs::remove_file(place.at("out")).expect("our own");
    fs::create_dir(place.at("out")).expect("our own place");
    symlink("/no/such/file", place.at("out/12")).expect("our own place");
    refused(1, "12 exists there already; choose an empty directory");
    fs::remove_file(place.at("out/12")).expect("our own");
    fs::write(place.at("out/1.txt"), "no number").expect("our own place");
    let finished = run(&mut send("unix", &place, &place.at("out")));
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert_eq!(server.stop().is_clean().served, 1);
}

#[test]
fn a_file_that_cannot_be_written_whole_is_removed() {
    let place = Place::new();
    let Some((_server, send)) = server("unix", &place, "too_large") else {
        return;
    };
    let mut limited = Command::new("sh");
    limited.args(["-c", "umask 0277; ulimit -f 20; exec \"$0\" \"$@\""]);
    let finished = run(limited.arg(send.get_program()).args(send.get_args()));
    assert_eq!(finished.code, Some(7), "{finished:#?}");
    finished.explains(&["out: 1; closed: 0 (cannot be written: File too large"]);
    assert_eq!(saved(&place.at("out")), files(&[("1", "small")]));
    let mode = fs::metadata(place.at("out/1")).expect("a file");
    assert_eq!(mode.permissions().mode() & 0o7777, 0o400, "0600 less umask");
}

#[test]
fn a_signal_or_a_timeout_reports_what_is_saved_by_then() {
    for signal in [None, Some(Signal::INT), Some(Signal::TERM)] {
        let place = Place::new();
        let Some((_server, mut send)) = server("unix", &place, "stays") else {
            return;
        };
        if signal.is_none() {
            send.args(["--timeout", "1s"]);
        }
        let mut client = Process::spawn(&mut send);
        client.stdout.first_lines(1);
        // The first one is saved when there is another.
        eventually("it is saved", || place.at("out/1").exists().then_some(()));
        if let Some(signal) = signal {
            client.signal(signal);
        }
        let status = client.wait();
        let code = signal.map_or(6, |signal| 128 + signal.as_raw());
        let found = status.signal().map(|number| 128 + number);
        assert_eq!(found.or(status.code()), Some(code), "{signal:?}");
        let stderr = String::from_utf8_lossy(&client.stderr.all()).into_owned();
        assert!(stderr.contains("2 file descriptors came"), "{stderr}");
        assert!(stderr.contains("out: 0"), "{stderr}");
    }
}

/// Passes a file of a FUSE whose read(2) hangs, in a mount namespace of its own.
const HUNG: &str = r"
import array, ctypes, errno, os, signal, socket, sys, time
try: from fusepy import FUSE, Operations, FuseOSError
except ImportError: from fuse import FUSE, Operations, FuseOSError
path, mount = sys.argv[1:]
class Hung(Operations):
    def getattr(self, path, fh=None):
        if path == '/': return dict(st_mode=0o40755, st_nlink=2)
        if path == '/file': return dict(st_mode=0o100644, st_nlink=1, st_size=10)
        raise FuseOSError(errno.ENOENT)
    def open(self, path, flags): return 1
    def read(self, path, size, offset, fh):
        print('hangs')
        while True: time.sleep(1)
parent = os.getpid()
served = os.fork()
if not served:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent: sys.exit()
    FUSE(Hung(), mount, foreground=True, direct_io=True)
    os._exit(1)
while ' %s fuse' % mount not in open('/proc/mounts').read(): time.sleep(0.01)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
print('ready')
connection, _ = server.accept()
connection.recv(100)
memfd = os.memfd_create('memfd')
os.write(memfd, b'saved')
fds = [memfd, os.open(mount + '/file', os.O_RDONLY), memfd]
connection.sendmsg([b'here\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
connection.send(b'there\n')
sys.stdin.read()
os.kill(served, signal.SIGKILL)
";

#[test]
fn a_file_that_hangs_holds_up_neither_the_answer_nor_the_end() {
    let import = "try: import fusepy\nexcept ImportError: import fuse";
    let has_fuse = Path::new("/dev/fuse").exists() && is_root();
    if !has_fuse || run(Command::new("/usr/bin/python3").args(["-c", import])).code != Some(0) {
        skipped("not root, no /dev/fuse or no python3-fusepy");
        return;
    }
    let Some(unshare) = optional_peer("unshare") else {
        return;
    };
    for signal in [Some(Signal::INT), None] {
        let place = Place::new();
        let out = place.at("out");
        fs::create_dir(&out).expect("our own place");
        fs::create_dir(place.at("mount")).expect("our own place");
        let mut command = Command::new(&unshare);
        command.args(["-m", "--propagation", "private", "/usr/bin/python3", "-uc"]);
        command.args([HUNG.as_ref(), place.socket().as_os_str()]);
        let mut server = Process::spawn_piped(command.arg(place.at("mount")));
        server.stdout.line("`ready`", |line| line == "ready");
        let mut send = send("unix", &place, &out);
        if signal.is_none() {
            send.args(["--timeout", "1s"]);
        }
        let mut client = Process::spawn(&mut send);
        assert_eq!(client.stdout.first_lines(2), ["here", "there"]);
        server.stdout.line("`hangs`", |line| line == "hangs");
        if let Some(signal) = signal {
            client.signal(signal);
        }
        let status = client.wait();
        assert_eq!(status.signal(), signal.map(Signal::as_raw));
        assert!(signal.is_some() || status.code() == Some(6), "{status}");
        // Until then the child that hangs has the other end of the pipe.
        server.finish();
        let stderr = String::from_utf8_lossy(&client.stderr.all()).into_owned();
        assert!(
            stderr.contains("out: 0; not saved in time: 1-2"),
            "{stderr}"
        );
        assert_eq!(saved(&out), files(&[("0", "saved")]));
    }
}

#[test]
fn the_command_does_not_outlive_a_kill() {
    let place = Place::new();
    let Some((mut server, mut send)) = server("unix", &place, "stays") else {
        return;
    };
    let mut client = Process::spawn(&mut send);
    client.stdout.first_lines(1);
    client.signal(Signal::KILL);
    client.wait();
    // Its child has the other end of this pipe.
    client.stdout.all();
    server.finish();
}
