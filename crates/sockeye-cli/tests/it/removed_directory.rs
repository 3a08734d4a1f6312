//! A working directory that was removed: nothing can be at a relative path any more.

use std::process::Command;

use crate::support::{Finished, Place, REPLY, Server, run, sockeye};

const REMOVED: &str = "the working directory was removed";

/// `sockeye ARGUMENTS` in a directory below `place` that is removed before.
fn in_removed(place: &Place, arguments: &str) -> Finished {
    let script = r#"mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(sockeye().get_program());
    let arguments = arguments.split_whitespace();
    run(command.args(arguments).current_dir(place.dir()))
}

#[test]
fn every_subcommand_says_that_the_working_directory_was_removed() {
    let place = Place::new();
    for arguments in [
        "serve x.sock",
        "serve --takeover ./x.sock",
        "serve dgram:sub/x.sock",
        "send x.sock hi",
        "send ./sub/x.sock hi",
        // What was removed does not come back.
        "send --wait 1h x.sock hi",
        "send dgram:x.sock hi",
        "connect seqpacket:x.sock",
        "ls x.sock",
        "ls --stale --in .",
        "ls --stale --in sub",
        "bench x.sock",
    ] {
        in_removed(&place, arguments).fails(3, &[REMOVED]);
    }
    in_removed(&place, "send --fd file @nobody hi").fails(1, &[REMOVED, "nothing was sent"]);
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn why_says_so_instead_of_an_empty_name() {
    let place = Place::new();
    for arguments in [
        "why x.sock",
        "why --connect ./x.sock",
        "why --user 1 x.sock",
    ] {
        let told = in_removed(&place, arguments);
        assert_eq!(told.code, Some(3), "{told:#?}");
        assert!(told.text().contains(REMOVED), "{told:#?}");
        assert!(!told.text().contains("\"\""), "{told:#?}");
    }
    let script = r#"mkdir gone && cd gone && rmdir ../gone && "$0" why --pid $$ x.sock; exit $?"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(sockeye().get_program());
    let told = run(command.current_dir(place.dir()));
    assert_eq!(told.code, Some(3), "{told:#?}");
    let found = told.text();
    assert!(found.contains("the working directory of pid"), "{told:#?}");
    assert!(found.contains("was removed"), "{told:#?}");
}

/// The directory above it is still there.
#[test]
fn what_lies_elsewhere_is_reached() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    for path in ["../app.sock", server.path.to_str().expect("plain")] {
        let sent = in_removed(&place, &format!("send {path} hi"));
        assert_eq!(sent.succeeds().text(), format!("{REPLY}\n"));
        in_removed(&place, &format!("ls {path}")).succeeds();
        in_removed(&place, &format!("why {path}")).succeeds();
        in_removed(&place, &format!("serve {path}")).fails(4, &["a running server"]);
    }
    in_removed(&place, "send ../nothing hi").fails(3, &["there is no such file"]);
}
