//! What a server holds open: nothing that a program it starts would inherit, nothing it was sent.

use std::fs;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;

use crate::support::{Place, Process, Server, eventually, python};

/// Those of a server, less what any child of ours inherits from whoever started the tests.
fn open_descriptors(server: &Server) -> Vec<u32> {
    let mut control = Process::spawn_piped(&mut Command::new("cat"));
    let stdin = control.stdin.as_mut().expect("piped");
    stdin.write_all(b"\n").expect("read");
    // By now it is `cat`, and holds what any program holds that was started like this.
    control.stdout.first_lines(1);
    let inherited = descriptors_of(control.id());
    let mut own = descriptors_of(server.process.id());
    own.retain(|number| !inherited.contains(number));
    own
}

fn descriptors_of(process: u32) -> Vec<u32> {
    let dir = PathBuf::from(format!("/proc/{process}/fd"));
    let mut numbers: Vec<u32> = fs::read_dir(dir)
        .expect("the server is there")
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.to_str().expect("a number").parse().expect("a number")
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn every_descriptor_is_close_on_exec() {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut client = server.client();
    client.converse("one connection");
    for number in open_descriptors(&server) {
        let process = server.process.id();
        let info = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}"))
            .expect("still open: nothing changes meanwhile");
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .expect("a line of flags");
        let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
        let what = fs::read_link(format!("/proc/{process}/fd/{number}"));
        assert_ne!(flags & CLOSE_ON_EXEC, 0, "descriptor {number}: {what:?}");
    }
}

#[test]
fn connections_that_end_leave_no_descriptor() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    server.ask("warm up\n");
    let before = open_descriptors(&server).len();
    for _ in 0..100 {
        server.ask("hello\n");
    }
    eventually("as many descriptors as before", || {
        (open_descriptors(&server).len() <= before).then_some(())
    });
}

#[test]
fn descriptors_that_a_client_sends_are_not_kept() {
    const CLIENT: &str = r"
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
fd = os.open('/dev/null', os.O_RDONLY)
for n in range(20):
    fds = array.array('i', [fd] * 100)
    s.sendmsg([b'take these\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    assert s.recv(100) == b'ok\n'
print('done')
sys.stdin.read()
";
    let place = Place::new();
    let server = Server::start(place.socket(), &["--reply", "ok", "--fds"]);
    let Some(mut command) = python(CLIENT) else {
        return;
    };
    let client = Process::spawn_piped(command.arg(&server.path));
    client.stdout.first_lines(1);
    // The client is still connected, and the server holds that one connection and no more, once the
    // thread that closes them is done.
    eventually("they are closed", || {
        let held = open_descriptors(&server);
        let mut null = held.iter().filter(|number| {
            fs::read_link(format!("/proc/{}/fd/{number}", server.process.id()))
                .is_ok_and(|target| target.as_os_str() == "/dev/null")
        });
        null.next().is_none().then_some(())
    });
    assert_eq!(server.ask("fine\n"), "ok\n");
}

/// Fills a pipe, whose capacity the system may have cut.
fn fill(pipe: &PipeWriter) {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    // A second open(2), so that the other writer does not get O_NONBLOCK as well.
    let mut pipe = fs::OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .expect("our own pipe");
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
}

#[test]
fn descriptors_are_in_the_budget_while_nobody_reads_the_output() {
    const CLIENTS: &str = r"
import array, os, socket, sys, select
path, kind = sys.argv[1], getattr(socket, sys.argv[2])
fds = array.array('i', [os.open('/dev/null', os.O_RDONLY)] * 253)
kept = []
for line in sys.stdin:
    s = socket.socket(socket.AF_UNIX, kind)
    # So small that it is writable again only when all was received.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8000)
    s.connect(path)
    s.sendmsg([b'x' * 3000 + b'\nb'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    kept.append(s)
    select.select([], [s], [])
    print('received', flush=True)
";
    const ROUNDS: usize = 8;
    for (scheme, kind) in [("unix", "SOCK_STREAM"), ("seqpacket", "SOCK_SEQPACKET")] {
        let place = Place::new();
        let Some(mut command) = python(CLIENTS) else {
            return;
        };
        let (mut reader, writer) = std::io::pipe().expect("two descriptors");
        fill(&writer);
        let script = "ulimit -n 4096; exec \"$0\" serve --fds \"$1\"";
        let mut server = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_sockeye")])
            .arg(format!("{scheme}:{}", place.socket().display()))
            .stdout(writer)
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        eventually("it listens", || place.socket().exists().then_some(()));
        let mut clients = Process::spawn_piped(command.arg(place.socket()).arg(kind));
        for round in 1..=ROUNDS {
            let stdin = clients.stdin.as_mut().expect("piped");
            stdin.write_all(b"\n").expect("it reads");
            clients.stdout.first_lines(round);
            eventually("no more than a quarter of what may be open", || {
                let held = descriptors_of(server.id()).into_iter().filter(|number| {
                    fs::read_link(format!("/proc/{}/fd/{number}", server.id()))
                        .is_ok_and(|target| target.as_os_str() == "/dev/null")
                });
                // One is its standard error.
                (held.count() <= 4096 / 4 + 1).then_some(())
            });
        }
        let pid = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
        drop(clients);
        let mut output = String::new();
        reader.read_to_string(&mut output).expect("it ends");
        server.wait().expect("our own child");
        assert_eq!(output.matches(&"x".repeat(3000)).count(), ROUNDS, "{kind}");
    }
}
