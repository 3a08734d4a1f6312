//! The mode is exactly what was asked for, and never wider for an instant.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Place, Server, as_other_user, copy_of_sockeye, is_root, run, skipped, strace,
};

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
}

#[test]
fn the_mode_is_exact_under_any_umask() {
    for umask in ["000", "022", "077", "777"] {
        for (option, mode) in [
            (None, 0o600),
            (Some("0666"), 0o666),
            (Some("0640"), 0o640),
            (Some("0777"), 0o777),
        ] {
            let place = Place::new();
            let options: Vec<&str> = option.iter().flat_map(|mode| ["--mode", mode]).collect();
            let prelude = format!("umask {umask}");
            let server = Server::start_after(&prelude, place.socket(), &options);
            assert_eq!(
                format!("{:o}", mode_of(&server.path)),
                format!("{mode:o}"),
                "umask {umask}, --mode {option:?}"
            );
            assert_eq!(mode_of(&server.lock_path()), 0o1600, "umask {umask}");
        }
    }
}

#[test]
fn a_mode_that_may_not_be_set_is_not_permitted() {
    for kind in ["unix", "seqpacket", "dgram"] {
        let place = Place::new();
        let logs = Place::new();
        let Some(strace) = strace("fchmodat", logs.at("strace").as_os_str()) else {
            return;
        };
        let mut command = Command::new(&strace[0]);
        command.args(&strace[1..]);
        command.args(["-e", "inject=fchmodat:error=EPERM"]);
        command.args([env!("CARGO_BIN_EXE_sockeye"), "serve", "--mode", "0660"]);
        command.arg(format!("{kind}:{}", place.socket().display()));
        run(&mut command).fails(5, &["mode cannot be set to 0660", "not permitted"]);
        assert!(place.names().is_empty(), "{kind}: {:?}", place.names());
    }
}

#[test]
fn the_short_option_works_for_a_long_name() {
    let place = Place::new();
    let server = Server::start_after("umask 077", place.at("s".repeat(200)), &["-m", "0622"]);
    assert_eq!(mode_of(&server.path), 0o622);
}

#[test]
fn a_claim_calls_no_umask_and_is_at_no_instant_more_open() {
    for (umask, mode, kind) in [
        ("000", 0o600, "unix"),
        ("022", 0o666, "seqpacket"),
        ("077", 0o640, "unix"),
        // It needs no listen(2) to be reached.
        ("000", 0o600, "dgram"),
        ("077", 0o666, "dgram"),
    ] {
        for name in ["app.sock".to_owned(), "s".repeat(200)] {
            let place = Place::new();
            let logs = Place::new();
            let log = logs.at("strace");
            let calls = "umask,bind,listen,chmod,fchmod,fchmodat,?fchmodat2";
            let Some(tracer) = strace(calls, log.as_os_str()) else {
                return;
            };
            let path = place.at(name);
            let mut command = Command::new("sh");
            command
                .arg("-c")
                .arg(format!("umask {umask}; exec \"$@\""))
                .arg("sh")
                .args(tracer)
                .arg(env!("CARGO_BIN_EXE_sockeye"))
                .args(["serve", "--mode", &format!("{mode:04o}")])
                .arg(format!("{kind}:{}", path.display()));
            let mut server = Server::started_by(&mut command, &path);
            assert_eq!(mode_of(&path), mode);
            server.stop().is_clean();
            let trace = fs::read_to_string(&log).expect("a trace");
            check_trace(&trace, mode);
        }
    }
}

/// No umask; the descriptor narrowed before each bind; no mode wider than asked anywhere.
#[track_caller]
fn check_trace(trace: &str, asked: u32) {
    assert!(!trace.contains("umask("), "{trace}");
    let mut narrowed = false;
    let mut bound = 0;
    for line in trace.lines() {
        if let Some((_, call)) = line.split_once("chmod") {
            let modes = call
                .split(|c: char| !c.is_ascii_digit())
                .filter(|token| token.starts_with('0') && token.len() > 1)
                .filter_map(|token| u32::from_str_radix(token, 8).ok());
            for mode in modes {
                assert_eq!(mode & !asked, 0, "wider than {asked:o}: {line}");
            }
            narrowed |= line.contains("fchmod(");
        }
        if line.contains("bind(") && line.contains("sun_path=\"") {
            assert!(narrowed, "bound before its mode was narrowed: {trace}");
            bound += 1;
        }
    }
    assert!(bound > 0, "it did bind: {trace}");
}

#[test]
fn the_owner_is_set_by_name_and_by_number() {
    if !is_root() {
        return skipped("not root");
    }
    for (owner, uid, gid) in [
        ("nobody", 65534, None),
        ("nobody:daemon", 65534, Some(1)),
        ("65534:1", 65534, Some(1)),
    ] {
        let place = Place::new();
        let mut server = Server::start(place.socket(), &["--owner", owner, "--mode", "0620"]);
        let meta = fs::symlink_metadata(place.socket()).expect("it is there");
        assert_eq!(meta.uid(), uid, "{owner}");
        if let Some(gid) = gid {
            assert_eq!(meta.gid(), gid, "{owner}");
        }
        assert_eq!(mode_of(&server.path), 0o620, "{owner}");
        server.ask("hello\n");
        server.stop().is_clean();
    }
}

/// As long as it lives its owner may not connect either, and nobody finds that out by trying.
#[test]
fn a_mode_without_write_permission_survives_a_kill() {
    let place = Place::new();
    let sockeye = copy_of_sockeye(&place);
    place.set_mode(0o777);
    let Some(mut command) = as_other_user(sockeye.as_os_str()) else {
        return;
    };
    command.args(["serve", "--mode", "0400"]);
    command.arg(place.socket());
    let server = Server::started_by(&mut command, place.socket());
    run(&mut command).fails(4, &["running server"]);
    assert_eq!(mode_of(&place.socket()), 0o400);
    // Killed.
    drop(server);
    assert!(place.socket().exists());
    let mut next = Server::started_by(&mut command, place.socket());
    assert_eq!(mode_of(&place.socket()), 0o400);
    next.stop().is_clean();
}

#[test]
fn an_owner_that_does_not_exist_is_named() {
    let place = Place::new();
    for owner in ["no-such-user-here", "root:no-such-group-here"] {
        let tried = run(Server::command(&["--owner", owner]).arg(place.socket()));
        assert!(tried.code.is_some_and(|code| code != 0), "{tried:#?}");
        assert!(tried.stderr.contains("no-such-"), "{}", tried.stderr);
        assert_eq!(place.names().len(), 0, "and nothing is left");
    }
}

#[test]
fn a_directory_that_others_may_write_is_warned_of() {
    for (mode, warned) in [(0o777, true), (0o1777, false), (0o755, false)] {
        let place = Place::new();
        place.set_mode(mode);
        let server = Server::start(place.socket(), &[]);
        server.ask("it works all the same\n");
        let log = server.process.stderr.so_far();
        let warning = log.lines().any(|line| {
            line.contains("writ") && line.contains(place.dir().to_str().expect("plain"))
        });
        assert_eq!(warning, warned, "{mode:o}: {log}");
    }
}
