//! What clients pass is refused unless asked for, and closing it holds up nobody.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use sockeye::ancillary::{SendError, pass_descriptors, send_msg};
use sockeye::packet::{BlockingDatagram, BlockingSeqPacket};
use sockeye::{Address, Connector, Kind};

use crate::support::{Place, Process, Server, eventually, python, run, skipped, sockeye};

mod room;

const KINDS: [&str; 3] = ["unix", "seqpacket", "dgram"];

fn address(kind: &str, place: &Place) -> String {
    format!("{kind}:{}", place.socket().display())
}

/// `sockeye serve OPTIONS KIND:PATH -- PROGRAM`
#[track_caller]
fn serve(kind: &str, place: &Place, options: &[&str], program: &[&str]) -> Server {
    let mut command = Server::command(options);
    command.arg(address(kind, place));
    if !program.is_empty() {
        command.arg("--").args(program);
    }
    Server::started_by(&mut command, place.socket())
}

fn send(kind: &str, place: &Place, options: &[&str]) -> Command {
    let mut command = sockeye();
    command.arg("send").args(options).arg(address(kind, place));
    command.arg("hello");
    command
}

/// Whether this kernel can refuse descriptors (Linux 6.16); says `skipped:` if not.
fn can_refuse() -> bool {
    let (left, _right) = UnixStream::pair().expect("two sockets");
    let can = pass_descriptors(&left, true).expect("a UNIX socket");
    if !can {
        skipped("this kernel has no SO_PASSRIGHTS");
    }
    can
}

/// A client of any kind, connected.
enum Client {
    Stream(UnixStream),
    SeqPacket(BlockingSeqPacket),
    Datagram(BlockingDatagram),
}

impl Client {
    #[track_caller]
    fn connect(kind: &str, place: &Place) -> Self {
        let address: Address = address(kind, place).parse().expect("an address");
        let connector = Connector::new();
        match address.kind() {
            Kind::Stream => Self::Stream(connector.connect_blocking(&address).expect("a server")),
            Kind::SeqPacket => Self::SeqPacket(
                connector
                    .connect_seqpacket_blocking(&address)
                    .expect("a server"),
            ),
            Kind::Datagram => {
                let socket = BlockingDatagram::unclaimed().expect("a socket");
                connector
                    .connect_datagram_blocking(&socket, &address)
                    .expect("a server");
                Self::Datagram(socket)
            }
        }
    }

    fn send(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<(), SendError> {
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        match self {
            Self::Stream(socket) => send_msg(socket, bytes, &descriptors),
            Self::SeqPacket(socket) => socket.send_msg(bytes, &descriptors),
            Self::Datagram(socket) => socket.send_msg(bytes, &descriptors),
        }
    }
}

/// Passes TCP sockets whose last close(2) waits for ten minutes, since nobody reads what they have to
/// send; first the server is stopped, so that it has the only ones when it goes on. A process of its
/// own: one that this process forks meanwhile would have them too.
const LINGERING: &str = r"
import array, os, signal, socket, struct, sys
path, kind, pid, keeps = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == 'keeps'
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
listener.bind(('127.0.0.1', 0))
listener.listen(100)
unread = []
def lingering():
    s = socket.create_connection(listener.getsockname())
    unread.append(listener.accept()[0])
    s.setblocking(False)
    try:
        while True: s.send(b'x' * 65536)
    except BlockingIOError: pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 600))
    return s
client = socket.socket(socket.AF_UNIX, getattr(socket, kind))
client.connect(path)
messages = []
for message in sys.argv[5:]:
    data, count, plain = message.rsplit(',', 2)
    # In this order: those for which there is no room are the last ones.
    fds = [open('/dev/null') for _ in range(int(plain))]
    fds += [lingering() for _ in range(int(count))]
    messages.append((bytes.fromhex(data), fds))
os.kill(pid, signal.SIGSTOP)
for data, fds in messages:
    rights = array.array('i', [fd.fileno() for fd in fds])
    client.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    for fd in fds: fd.close()
if not keeps: client.close()
os.kill(pid, signal.SIGCONT)
print('sent')
signal.pause()
";

/// Messages with so many lingering sockets, and other descriptors. The close(2) of those ends when
/// what is returned is dropped; `keeps` the connection until then.
#[track_caller]
fn hand_over(
    kind: &str,
    server: &Server,
    keeps: bool,
    messages: &[(&[u8], usize, usize)],
) -> Option<Process> {
    let mut command = python(LINGERING)?;
    let python_kind = match kind {
        "unix" => "SOCK_STREAM",
        "seqpacket" => "SOCK_SEQPACKET",
        _ => "SOCK_DGRAM",
    };
    command.arg(&server.path).arg(python_kind);
    command.arg(server.process.id().to_string());
    command.arg(if keeps { "keeps" } else { "closes" });
    for (bytes, lingering, plain) in messages {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        command.arg(format!("{hex},{lingering},{plain}"));
    }
    let process = Process::spawn(&mut command);
    process.stdout.first_lines(1);
    Some(process)
}

#[track_caller]
fn answers(kind: &str, place: &Place, options: &[&str]) {
    let options = [&["--timeout", "10s"], options].concat();
    run(&mut send(kind, place, &options)).succeeds();
}

#[test]
fn a_server_refuses_descriptors_unless_it_is_told_to_take_them() {
    if !can_refuse() {
        return;
    }
    let ways: [(&[&str], &[&str]); 4] = [
        (&[], &[]),
        (&["--echo"], &[]),
        (&["--discard"], &[]),
        (&[], &["cat"]),
    ];
    for kind in KINDS {
        for (options, program) in ways {
            let place = Place::new();
            let server = serve(kind, &place, options, program);
            let refused = run(&mut send(kind, &place, &["--fd", "/etc/passwd"]));
            refused.fails(5, &["refuses file descriptors (EPERM)", "--fds"]);
            if options.is_empty() {
                answers(kind, &place, &[]);
            }
            drop(server);

            let place = Place::new();
            let options = [&["--fds"], options].concat();
            let server = serve(kind, &place, &options, program);
            let socket = Client::connect(kind, &place);
            socket.send(b"first\n", &[]).expect("a server");
            let files = fs::File::open("/etc/passwd").expect("a file");
            socket
                .send(b"second\n", &[files.into()])
                .expect("it takes them");
            drop(socket);
            if options.len() == 1 {
                answers(kind, &place, &["--fd", "/etc/passwd"]);
            }
            eventually("what came is closed", || {
                let of_files = fs::read_dir(format!("/proc/{}/fd", server.process.id()))
                    .expect("the server is there")
                    .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
                    .filter(|target| target == Path::new("/etc/passwd"));
                (of_files.count() == 0).then_some(())
            });
        }
    }
}

#[test]
fn a_close_that_takes_long_holds_up_nobody() {
    let too_long = vec![b'x'; 2000];
    for kind in KINDS {
        for options in [&[][..], &["--echo"], &["--discard"]] {
            for messages in [1, 2, 3] {
                let place = Place::new();
                let options = [&["--fds", "--max-message", "1000"], options].concat();
                let mut server = serve(kind, &place, &options, &[]);
                let come: [&[u8]; 3] = [
                    b"complete\n",
                    // Its connection is closed because of it, with the next one unread.
                    &too_long,
                    b"unread\n",
                ];
                let come: Vec<_> = come[..messages].iter().map(|b| (*b, 3, 0)).collect();
                let Some(_lingering) = hand_over(kind, &server, false, &come) else {
                    return;
                };
                if options.len() == 3 {
                    answers(kind, &place, &[]);
                    answers(kind, &place, &["--fd", "/etc/passwd"]);
                }
                let ending = server.stop();
                assert!(ending.code.is_some(), "{ending:#?}");
                assert!(ending.stderr.contains("still being closed"), "{ending:#?}");
                assert_eq!(ending.left, Vec::<std::path::PathBuf>::new());
            }
        }
    }
}

#[test]
fn a_message_that_never_ends_keeps_its_descriptors_only_as_long_as_its_connection() {
    let place = Place::new();
    let mut server = serve(
        "unix",
        &place,
        &["--fds", "--framing", "length", "--drain", "100ms"],
        &[],
    );
    let begun: [(&[u8], usize, usize); 1] = [(b"\0\0\0\x09begun", 3, 0)];
    let Some(_first) = hand_over("unix", &server, false, &begun) else {
        return;
    };
    let Some(_second) = hand_over("unix", &server, true, &begun) else {
        return;
    };
    server.process.stderr.line("the complaint", |line| {
        line.contains("9 bytes of a message")
    });
    // The second one is aborted.
    let ending = server.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
}

/// What is in the queue cannot be refused any more, and is not taken without a bound either: at the
/// limit of open files the kernel would close the rest of it in the server's own thread.
#[test]
fn datagrams_that_wait_with_descriptors_do_not_hang_the_server() {
    let place = Place::new();
    let script = r#"ulimit -n 600; exec "$0" serve --fds --drain 100ms "$@""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_sockeye")]);
    let mut server = Server::started_by(shell.arg(address("dgram", &place)), place.socket());
    let come: [(&[u8], usize, usize); 4] =
        [b"one\n", b"two\n", b"six\n", b"ten\n"].map(|bytes| (&bytes[..], 1, 252));
    let Some(lingering) = hand_over("dgram", &server, false, &come) else {
        return;
    };
    server.process.stdout.first_lines(1);
    let ending = server.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
    assert!(!ending.stderr.contains("more descriptors"), "{ending:#?}");
    drop(lingering);

    let place = Place::new();
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_sockeye")]);
    let mut server = Server::started_by(shell.arg(address("dgram", &place)), place.socket());
    let Some(lingering) = hand_over("dgram", &server, false, &come) else {
        return;
    };
    drop(lingering);
    answers("dgram", &place, &[]);
    assert_eq!(server.stop().is_clean().served, 5);
}

#[test]
fn while_too_many_are_still_to_be_closed_no_more_are_let_in() {
    if !can_refuse() {
        return;
    }
    for kind in KINDS {
        let place = Place::new();
        let script = r#"ulimit -n 600; exec "$0" serve --fds "$@""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_sockeye")]);
        let mut server = Server::started_by(shell.arg(address(kind, &place)), place.socket());
        let plain = |count: usize| -> Vec<OwnedFd> {
            let file = || fs::File::open("/dev/null").expect("it is there").into();
            (0..count).map(|_| file()).collect()
        };
        let early = Client::connect(kind, &place);
        early.send(b"first\n", &[]).expect("a server");
        let fill: [(&[u8], usize, usize); 1] = [(b"they fill the queue\n", 1, 252)];
        let Some(lingering) = hand_over(kind, &server, false, &fill) else {
            return;
        };
        // One that has connected before is closed, where there are connections.
        if kind != "dgram" {
            eventually("it is full", || early.send(b"more\n", &plain(1)).err());
            server.process.stderr.line("the complaint", |line| {
                line.contains("still being closed; its connection is closed")
            });
        }
        answers(kind, &place, &[]);
        let refused = || run(send(kind, &place, &["--fd", "/dev/null"]).args(["-t", "10s"]));
        eventually("others are refused", || {
            (refused().code == Some(5)).then_some(())
        });
        answers(kind, &place, &[]);
        // Now that close(2) ends.
        drop(lingering);
        eventually("they are received", || {
            (refused().code == Some(0)).then_some(())
        });
        let ending = server.stop();
        assert_eq!(ending.left, Vec::<std::path::PathBuf>::new());
        assert!(!ending.stderr.contains("panicked"), "{ending:#?}");
    }
}
