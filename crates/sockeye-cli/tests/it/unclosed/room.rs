//! A process that may open fewer files than a message has descriptors.

use std::process::Command;

use super::{address, answers, can_refuse, hand_over, send};
use crate::support::{Place, Server, eventually, run};

/// `sockeye serve --fds OPTIONS KIND:PATH`, which may open so many files.
#[track_caller]
fn serve(kind: &str, place: &Place, files: usize, options: &[&str]) -> Server {
    let script = format!(r#"ulimit -n {files}; exec "$0" serve --fds "$@""#);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_sockeye")]);
    shell.args(options).arg(address(kind, place));
    Server::started_by(&mut shell, place.socket())
}

/// The kernel would close what has no room in the thread that receives.
#[test]
fn a_message_with_more_descriptors_than_there_is_room_for_holds_up_nobody() {
    for kind in ["unix", "seqpacket"] {
        for options in [&[][..], &["--echo"], &["--discard"], &["--framing", "raw"]] {
            if kind == "seqpacket" && options.len() == 2 {
                continue;
            }
            for files in [64, 256] {
                let place = Place::new();
                let mut server = serve(kind, &place, files, options);
                let come: [(&[u8], usize, usize); 3] =
                    [(b"one\n", 1, 251), (b"two\n", 1, 251), (b"three\n", 1, 251)];
                let Some(_lingering) = hand_over(kind, &server, false, &come) else {
                    return;
                };
                server.process.stderr.line("the complaint", |line| {
                    line.contains("more descriptors than this process may still open")
                });
                if options != ["--discard"] {
                    answers(kind, &place, &[]);
                    // For these there is room.
                    answers(kind, &place, &["--fd", "/dev/null", "--fd", "/dev/null"]);
                }
                let ending = server.stop();
                assert!(ending.code.is_some(), "{ending:#?}");
                assert_eq!(ending.left, Vec::<std::path::PathBuf>::new());
            }
        }
    }
}

/// It would keep those behind it waiting.
#[test]
fn a_datagram_whose_descriptors_never_find_room_is_thrown_away() {
    for files in [64, 256] {
        let place = Place::new();
        let mut server = serve("dgram", &place, files, &[]);
        let come: [(&[u8], usize, usize); 3] =
            [(b"one", 1, 251), (b"two", 1, 251), (b"three", 1, 251)];
        let Some(lingering) = hand_over("dgram", &server, false, &come) else {
            return;
        };
        server.process.stderr.line("the complaint", |line| {
            line.contains("more descriptors than this process may still open")
        });
        answers("dgram", &place, &[]);
        if can_refuse() {
            let refused = run(&mut send("dgram", &place, &["--fd", "/dev/null"]));
            refused.fails(5, &["refuses file descriptors (EPERM)"]);
        }
        // Now that close(2) ends.
        drop(lingering);
        eventually("they are received", || {
            let sent = run(&mut send("dgram", &place, &["--fd", "/dev/null"]));
            (sent.code == Some(0)).then_some(())
        });
        let ending = server.stop();
        let report = ending.was_cut();
        assert_eq!((report.served, report.aborted), (2, 3), "{ending:#?}");
    }
}
