//! What a server holds open: nothing that a program it starts would inherit, nothing it was sent.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

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
