//! `/proc/PID/root/…`: a link that only those may follow who have ptrace access to the process. The
//! mode of its directory has nothing to do with it.

use std::process::Command;

use crate::support::{
    Finished, Place, Server, as_other_user, copy_of_sockeye, is_root, optional_peer, run, skipped,
    sockeye,
};

const FOUND: &str = "which takes ptrace access to that process";

/// Every subcommand, as `command` runs it, says so of the link `root` of this process.
fn says_so(place: &Place, command: impl Fn() -> Option<Command>) {
    let link = format!("/proc/{}/root", std::process::id());
    let path = format!("{link}{}", place.socket().display());
    let dir = format!("{link}{}", place.dir().display());
    for arguments in [
        format!("send {path} hi"),
        format!("send {link} hi"),
        format!("connect {path}"),
        format!("serve {link}{}", place.at("new.sock").display()),
        format!("serve --takeover {path}"),
        format!("ls {path}"),
        format!("ls --stale --in {dir}"),
        format!("why {path}"),
        format!("why --connect {path}"),
        format!("bench {path}"),
    ] {
        let Some(mut command) = command() else { return };
        let ended = run(command.args(arguments.split_whitespace()));
        let said = format!("{}{}", ended.text(), ended.stderr);
        let code = if arguments.starts_with("ls /") { 7 } else { 5 };
        assert_eq!(ended.code, Some(code), "{arguments}: {ended:#?}");
        for words in [
            &*format!("{link} may not be followed by"),
            FOUND,
            "without /proc",
        ] {
            assert!(said.contains(words), "{words} of {arguments}: {ended:#?}");
        }
        let not_said = ["lacks x", "execute bit", "mode 0555"].map(|word| said.contains(word));
        // why walks through the directory above it.
        assert!(!not_said[0] && !not_said[1], "{arguments}: {ended:#?}");
        assert!(
            !not_said[2] || arguments.starts_with("why"),
            "{arguments}: {ended:#?}"
        );
    }
    let fd = format!("send --fd {path} @nobody hi");
    let ended: Finished = run(command().expect("as before").args(fd.split_whitespace()));
    ended.fails(1, &[FOUND, "nothing was sent"]);
}

#[test]
fn another_user_learns_what_a_link_into_a_process_takes() {
    let place = Place::new();
    place.set_mode(0o777);
    let _server = Server::start(place.socket(), &["--mode", "0666"]);
    let program = copy_of_sockeye(&place);
    says_so(&place, || as_other_user(program.as_os_str()));
}

/// With all capabilities, but in a user namespace that is not the one of the process.
#[test]
fn root_of_another_user_namespace_learns_it_too() {
    let Some(unshare) = optional_peer("unshare") else {
        return;
    };
    if run(Command::new(&unshare).args(["-Ur", "true"])).code != Some(0) {
        return skipped("unshare -Ur is not permitted");
    }
    let place = Place::new();
    let _server = Server::start(place.socket(), &[]);
    says_so(&place, || {
        let mut command = Command::new(&unshare);
        command.arg("-Ur").arg(sockeye().get_program());
        Some(command)
    });
}

/// Where a link may be followed, the mode of a directory behind it is what it is about.
#[test]
fn a_directory_behind_a_link_is_named_for_its_mode() {
    if !is_root() {
        return skipped("not root, so no other user");
    }
    let (ours, theirs) = (Place::new(), Place::new());
    let Some(mut command) = as_other_user(copy_of_sockeye(&theirs).as_os_str()) else {
        return;
    };
    ours.set_mode(0o700);
    let own = format!("/proc/self/root{}", ours.socket().display());
    run(command.args(["send", &own, "hi"])).fails(5, &["execute bit"]);
}
