//! Whether a server lives is found out without a visit: one that accepts a single client is not used
//! up by it.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Place, Process, as_other_user, copy_of_sockeye, eventually, is_root, optional_peer,
    require_peer, run, set_mode, skipped, sockeye,
};

/// `nc -lU PATH` in a network namespace of its own: it serves one client and ends.
#[track_caller]
fn one_shot(path: &Path) -> Option<Process> {
    if !is_root() {
        skipped("not root");
        return None;
    }
    let (nc, unshare) = (require_peer("nc")?, optional_peer("unshare")?);
    let mut command = Command::new(unshare);
    let server = Process::spawn_piped(command.arg("-n").arg(nc).arg("-lU").arg(path));
    let table = format!("/proc/{}/net/unix", server.id());
    let path = path.to_str().expect("plain");
    eventually("nc listens", || {
        let table = fs::read_to_string(&table).ok()?;
        let lines = table.lines();
        // The flag of listen(2).
        lines
            .filter(|line| line.ends_with(path))
            .find(|line| line.contains(" 00010000 "))?;
        Some(())
    });
    Some(server)
}

/// It has accepted nobody, and serves the first who comes.
#[track_caller]
fn is_unused(mut server: Process, path: &Path) {
    let mut client = UnixStream::connect(path).expect("it listens");
    client.write_all(b"the first one\n").expect("it reads");
    drop(client);
    assert_eq!(server.finish().text(), "the first one\n");
}

/// `serve`, `why` and `ls --stale` as `command` starts them.
#[track_caller]
fn ask_all(path: &Path, command: impl Fn() -> Command) {
    let before = fs::metadata(path).expect("it listens");
    let served = run(command().args(["serve"]).arg(path));
    served.fails(4, &["a running server owns it"]);
    let told = run(command().arg("why").arg(path));
    assert!(matches!(told.code, Some(0 | 7)), "{told:#?}");
    assert!(!told.text().contains("stale"), "{told:#?}");
    let dir = path.parent().expect("absolute");
    let listed = run(command().args(["ls", "--stale", "--in"]).arg(dir));
    assert_eq!((listed.code, &*listed.text()), (Some(3), ""), "{listed:#?}");
    let after = fs::metadata(path).expect("it is left alone");
    assert_eq!(before.modified().ok(), after.modified().ok());
}

#[test]
fn a_probe_is_no_visit_to_a_server_in_another_network_namespace() {
    let place = Place::with_socket("hidden-one-shot.sock");
    let Some(server) = one_shot(&place.socket()) else {
        return;
    };
    ask_all(&place.socket(), sockeye);
    is_unused(server, &place.socket());
}

/// Nothing is seen of it there but its file.
#[test]
fn a_probe_is_no_visit_to_a_server_outside_of_the_container() {
    let place = Place::with_socket("hidden-outside.sock");
    let Some(server) = one_shot(&place.socket()) else {
        return;
    };
    let Some(unshare) = optional_peer("unshare") else {
        return;
    };
    ask_all(&place.socket(), || {
        let mut command = Command::new(&unshare);
        command
            .args(["-p", "-n", "-f", "--mount-proc"])
            .arg(env!("CARGO_BIN_EXE_sockeye"));
        command
    });
    is_unused(server, &place.socket());
}

#[test]
fn a_probe_is_no_visit_to_a_hidden_server_of_another_user() {
    let (place, tools) = (Place::with_socket("hidden-stranger.sock"), Place::new());
    place.set_mode(0o777);
    let Some(server) = one_shot(&place.socket()) else {
        return;
    };
    set_mode(&place.socket(), 0o666);
    let copy = copy_of_sockeye(&tools);
    if as_other_user(copy.as_os_str()).is_none() {
        return;
    }
    ask_all(&place.socket(), || {
        as_other_user(copy.as_os_str()).expect("as before")
    });
    is_unused(server, &place.socket());
}
