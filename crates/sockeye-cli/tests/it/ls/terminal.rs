//! As a person sees it.

use std::fs::File;
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{connected, ls};
use crate::support::{Place, Process, python};

/// What a terminal of this width is given.
fn on_terminal(command: &mut Command, width: u16) -> String {
    let master =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("our own");
    unlockpt(&master).expect("our own");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = openat(CWD, name, flags, Mode::empty()).expect("unlocked");
    let size = Winsize {
        ws_row: 24,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).expect("a terminal");
    let mut child = command.stdout(slave).spawn().expect("it starts");
    // So that the command's end is the terminal's.
    command.stdout(std::process::Stdio::null());
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        // A terminal that nobody has open any more ends with an error (EIO).
        let _ = File::from(master).read_to_end(&mut text);
        text
    });
    assert_eq!(child.wait().expect("our own child").code(), Some(0));
    let text = reader.join().expect("no panic");
    String::from_utf8(text).expect("text").replace("\r\n", "\n")
}

#[test]
fn rows_fit_the_terminal() {
    let place = Place::new();
    let path = place.at("a rather long name of an application.sock");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    let _pair = connected(&listener);
    let _waiting = UnixStream::connect(&path).expect("the backlog has room");
    let pid = format!("{}/", std::process::id());
    for width in [20, 40, 80, 160] {
        for options in [
            &[][..],
            &["--connections"],
            &["-o", "address,peer,pid,inode,netns"],
        ] {
            let text = on_terminal(ls(options).arg(&path), width);
            assert!(text.lines().count() >= 3, "{text}");
            for line in text.lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {text}");
            }
        }
    }
    let text = on_terminal(&mut ls([&path]), 80);
    assert!(!text.contains("SEND-Q"), "{text}");
    for column in ["STATE", "ADDRESS", "PID/COMMAND", "PEER"] {
        assert!(text.contains(column), "{text}");
    }
    assert!(
        text.lines().skip(1).all(|line| line.contains(&pid)),
        "{text}"
    );
    assert!(
        text.lines()
            .skip(1)
            .all(|line| line.contains("….") || line.contains(".sock")),
        "{text}"
    );
    let text = on_terminal(&mut ls([&path]), 160);
    for column in ["RECV-Q", "SEND-Q", "USER", "FD"] {
        assert!(text.contains(column), "{text}");
    }
    assert!(text.contains(path.to_str().expect("plain")), "{text}");
}

#[test]
fn many_descriptors_are_a_number_or_left_out() {
    let place = Place::new();
    let path = place.at("a rather long name of an application.sock");
    // A process of its own: what we hold, a child of another test may hold for a moment.
    let script = "import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
again = [os.dup(s.fileno()) for _ in range(60)]; print('ready'); sys.stdin.read()";
    let Some(mut server) = python(script) else {
        return;
    };
    let server = Process::spawn_piped(server.arg(&path));
    server.stdout.line("ready", |line| line == "ready");
    let mut seen = 0;
    for width in 60..=160 {
        let text = on_terminal(&mut ls([&path]), width);
        let (header, row) = text.split_once('\n').expect("two lines");
        if header.contains(" FD ") {
            assert!(row.contains(" +60 "), "{width}: {text}");
            seen += 1;
        }
    }
    assert!(seen > 0, "there is room at last");
}
