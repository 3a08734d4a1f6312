//! From a server to the next one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::clients::Clients;
use super::{TAKEOVER, control_path, inode, open_descriptors, rounds, spawn};
use crate::support::{
    Client, OtherUser, Place, Process, REPLY, Server, eventually, is_root, lock_path,
    optional_peer, run, set_mode, skipped, stale_socket,
};

#[test]
fn a_request_in_flight_is_answered_by_the_old_server_and_the_next_by_the_new_one() {
    let place = Place::new();
    let mut old = Server::start(place.socket(), TAKEOVER);
    let before = inode(&old.path);
    let mut begun = old.client();
    begun.send("half a mes");
    let mut new = Server::start(place.socket(), TAKEOVER);
    let pid = |server: &Server| format!("pid {} uid ", server.process.id());
    new.process.stderr.line("who was there", |line| {
        line.starts_with("took over from ") && line.contains(&pid(&old))
    });
    old.process.stderr.line("who has come", |line| {
        line.starts_with("handed over to ") && line.contains(&pid(&new))
    });
    assert_eq!(new.ask("next\n").trim_end(), REPLY);
    let client = new.client();
    let server = rustix::net::sockopt::socket_peercred(client.stream()).unwrap();
    assert_eq!(
        server.pid.as_raw_pid() as u32,
        new.process.id(),
        "clients are told who serves now"
    );
    drop(client);
    begun.send("sage\n");
    assert_eq!(begun.line(), REPLY);
    assert_eq!(old.process.wait().code(), Some(0));
    assert_eq!(inode(&new.path), before, "it is the same file");
    let ended = old.process.finish();
    assert!(ended.text().contains("half a message"), "{ended:?}");
    assert!(!ended.text().contains("next"), "{ended:?}");
    new.stop().is_clean();
    assert!(!control_path(&new.path).exists());
}

#[test]
fn no_client_notices_many_takeovers_under_load() {
    const WARM: usize = 3;
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    let before = inode(&server.path);
    let clients = Clients::start(8, &server.path);
    let mut footprints = Vec::new();
    for round in 0..rounds(12) {
        // Each serves a while before the next one comes.
        let enough = clients.answered() + 50;
        eventually("clients are served", || {
            (clients.answered() >= enough).then_some(())
        });
        let next = Server::start(place.socket(), TAKEOVER);
        let ended = server.process.finish();
        assert_eq!(ended.code, Some(0), "round {round}: {ended:?}");
        assert!(ended.stderr.contains("aborted 0,"), "{ended:?}");
        assert_eq!(inode(&next.path), before, "it is the same file");
        server = next;
        if round >= WARM {
            footprints.push(server.process.memory_kib("VmRSS"));
        }
    }
    let answered = clients.finish();
    eventually("idle again", || {
        let baseline = Server::start(place.at("other.sock"), TAKEOVER);
        let idle = open_descriptors(baseline.process.id());
        (open_descriptors(server.process.id()) == idle).then_some(())
    });
    let (first, last) = (footprints[0], footprints[footprints.len() - 1]);
    println!("{answered} requests answered; memory of the first and last {first} and {last} KiB");
    assert!(last < first * 2, "memory grows: {footprints:?}");
    server.stop().is_clean();
}

#[test]
fn a_server_without_takeover_keeps_its_place() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    run(Server::command(TAKEOVER).arg(place.socket()))
        .fails(4, &["take over", "running server", "stop"]);
    assert_eq!(server.ask("still here\n").trim_end(), REPLY);
    server.stop().is_clean();
}

#[test]
fn a_plain_server_does_not_displace_one_that_allows_a_takeover() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    run(Server::command(&[]).arg(place.socket())).fails(4, &["running server", "stop"]);
    server.stop().is_clean();
}

#[test]
fn what_a_killed_server_left_is_replaced() {
    let place = Place::new();
    drop(Server::start(place.socket(), TAKEOVER));
    assert!(control_path(&place.socket()).exists());
    let mut server = Server::start(place.socket(), TAKEOVER);
    assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    server.stop().is_clean();
    assert!(!control_path(&place.socket()).exists());
}

#[test]
fn the_file_gets_the_mode_of_the_successor() {
    let place = Place::new();
    let old = Server::start(place.socket(), &["--takeover", "--mode", "0666"]);
    let mut new = Server::start(place.socket(), &["--takeover", "--mode", "0620"]);
    let mode = |path| {
        use std::os::unix::fs::PermissionsExt;
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(new.path.clone()), 0o620);
    assert_eq!(mode(control_path(&new.path)), 0o600);
    drop(old);
    new.stop().is_clean();
}

#[test]
fn without_an_owner_the_file_is_the_successors_own() {
    if !is_root() {
        return skipped("not root");
    }
    let place = Place::new();
    let owner = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    };
    let mut server = Server::start(place.socket(), &["--takeover", "--owner", "65534:100"]);
    let steps: [(&[&str], (u32, u32)); 4] = [
        (&["--owner", ":1"], (0, 1)),
        (&["--owner", "65534"], (65534, 0)),
        (&[], (0, 0)),
        (&["--owner", "65534:100"], (65534, 100)),
    ];
    for (options, expected) in steps {
        let next = Server::start(place.socket(), &[TAKEOVER, options].concat());
        assert_eq!(owner(&place.socket()), expected, "{options:?}");
        assert_eq!(server.process.wait().code(), Some(0));
        server = next;
    }
    // A file that is recreated there would have the group of the directory.
    let directory = place.socket();
    let directory = directory.parent().expect("absolute");
    std::os::unix::fs::chown(directory, None, Some(1)).unwrap();
    place.set_mode(0o2755);
    let mut last = Server::start(place.socket(), TAKEOVER);
    assert_eq!(owner(&place.socket()), (0, 1));
    assert_eq!(server.process.wait().code(), Some(0));
    last.stop().is_clean();
}

#[test]
fn nothing_that_another_users_server_has_passed_on_stays_that_users() {
    let Some(nobody) = OtherUser::new() else {
        return;
    };
    let place = &nobody.place;
    let mut theirs = Server::started_by(&mut nobody.serve(TAKEOVER), place.socket());
    let mut roots = Server::start(place.socket(), &["--takeover", "--takeover-from", "65534"]);
    assert_eq!(theirs.process.wait().code(), Some(0));
    for path in [
        place.socket(),
        control_path(&place.socket()),
        lock_path(&place.socket()),
    ] {
        use std::os::unix::fs::MetadataExt;
        let found = fs::symlink_metadata(&path).unwrap();
        let mode = found.mode() & 0o777;
        assert_eq!((found.uid(), found.gid(), mode), (0, 0, 0o600), "{path:?}");
    }
    roots.stop().is_clean();
    assert!(!lock_path(&place.socket()).exists());
}

#[test]
fn a_server_of_another_kind_is_named_as_that() {
    for (there, asked) in [("stream", "seqpacket"), ("seqpacket", "stream")] {
        let place = Place::new();
        let at = |kind| format!("{kind}:{}", place.socket().display());
        let mut server =
            Server::started_by(Server::command(TAKEOVER).arg(at(there)), place.socket());
        run(Server::command(TAKEOVER).arg(at(asked))).fails(
            4,
            &[
                &format!("a {there} server is there"),
                &format!("to be a {asked} server"),
                "stop",
            ],
        );
        server.terminate();
        assert_eq!(server.process.wait().code(), Some(0));
    }
}

#[test]
fn one_that_cannot_have_its_owner_leaves_all_as_it_was() {
    let Some(nobody) = OtherUser::new() else {
        return;
    };
    let mut server = Server::started_by(&mut nobody.serve(TAKEOVER), nobody.place.socket());
    let other = run(&mut nobody.serve(&["--takeover", "--owner", "root"]));
    assert_eq!(other.code, Some(5), "{other:?}");
    assert_eq!(server.ask("still here\n").trim_end(), REPLY);
    server.stop().is_clean();
}

#[test]
fn another_user_may_not_take_over_and_root_takes_over_from_whom_it_trusts() {
    let Some(nobody) = OtherUser::new() else {
        return;
    };
    let place = &nobody.place;
    let mut roots = Server::start(place.socket(), TAKEOVER);
    let refused = run(&mut nobody.serve(TAKEOVER));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert_eq!(roots.ask("still here\n").trim_end(), REPLY);
    roots.stop().is_clean();

    for trust in ["--takeover-from", "--owner"] {
        let mut theirs = Server::started_by(&mut nobody.serve(TAKEOVER), place.socket());
        run(Server::command(TAKEOVER).arg(place.socket())).fails(
            5,
            &["uid 65534", "--takeover-from", "keep the listening socket"],
        );
        run(Server::command(&["--takeover", "--takeover-from", "1"]).arg(place.socket()))
            .fails(5, &["uid 65534"]);
        assert_eq!(theirs.ask("still here\n").trim_end(), REPLY);
        let mut roots = Server::start(place.socket(), &["--takeover", trust, "65534"]);
        assert_eq!(theirs.process.wait().code(), Some(0));
        assert_eq!(roots.ask("hello\n").trim_end(), REPLY);
        let mut last = Server::start(place.socket(), &["--takeover", trust, "65534"]);
        assert_eq!(roots.process.wait().code(), Some(0));
        assert_eq!(last.ask("hello\n").trim_end(), REPLY);
        last.terminate();
        assert_eq!(last.process.wait().code(), Some(0));
        assert_eq!(place.names(), ["sockeye"], "whoever made the files");
    }
}

#[test]
fn what_somebody_else_has_put_in_place_of_the_control_socket_is_named() {
    let Some(nobody) = OtherUser::new() else {
        return;
    };
    let place = &nobody.place;
    let control = control_path(&place.socket());
    let text = control.to_str().expect("plain").to_owned();
    let refused = |code, words: &[&str]| {
        let ended = run(&mut nobody.serve(TAKEOVER));
        ended.fails(code, words).explains(&[&text]);
        assert!(!place.socket().exists(), "{ended:?}");
        assert!(!lock_path(&place.socket()).exists(), "{ended:?}");
    };
    for mode in [0o666, 0o600] {
        stale_socket(&control);
        set_mode(&control, mode);
        refused(5, &["a socket of uid 0", "directory of your own"]);
        fs::remove_file(&control).expect("root's own");
    }
    fs::write(&control, "").expect("a fresh path");
    refused(4, &["a regular file of uid 0", "only dead sockets"]);
    fs::remove_file(&control).expect("root's own");
    // A stream socket, so it cannot be the control socket of a server.
    let _stranger = std::os::unix::net::UnixListener::bind(&control).expect("a fresh path");
    set_mode(&control, 0o666);
    refused(4, &["running server"]);
}

#[test]
fn many_started_at_once_end_with_one_that_serves() {
    let place = Place::new();
    let mut all: Vec<_> = (0..10).map(|_| spawn(&place.socket())).collect();
    let mut left = eventually("all but one have ended", || {
        let ended = |process: &mut Process| process.ends_within(Duration::ZERO);
        let alive: Vec<_> = (0..all.len()).filter(|&i| !ended(&mut all[i])).collect();
        (alive.len() == 1).then(|| all.swap_remove(alive[0]))
    });
    for process in &mut all {
        assert_eq!(
            process.wait().code(),
            Some(0),
            "{}",
            process.stderr.so_far()
        );
    }
    left.stderr
        .line("it serves", |line| line.starts_with("listening on"));
    let mut client = Client::connect(place.socket());
    client.converse("hello");
    drop(client);
    left.signal(rustix::process::Signal::TERM);
    assert_eq!(left.wait().code(), Some(0));
}

/// What it asks the kernel for, and its first two words to the predecessor.
#[test]
fn whatever_a_successor_cannot_send_one_server_is_left() {
    for failing in 1..=4 {
        let place = Place::new();
        let path = place.socket();
        let Some(strace) = optional_peer("strace") else {
            return;
        };
        let mut old = Server::start(&path, TAKEOVER);
        let mut command = Command::new(strace);
        command
            .args(["-D", "-f", "-qq", "-o"])
            .arg(place.at("log"))
            .arg("-e")
            .arg(format!("inject=sendto:error=ENOBUFS:when={failing}"))
            .arg(env!("CARGO_BIN_EXE_sockeye"))
            .args(["serve", "--takeover"])
            .arg(&path);
        let mut new = Process::spawn(&mut command);
        let has_new = eventually("one of the two has ended", || {
            let [old, new] = [&mut old.process, &mut new].map(|p| p.ends_within(Duration::ZERO));
            (old || new).then_some(old)
        });
        let mut client = Client::connect(&path);
        client.converse("hello");
        drop(client);
        let left = if has_new { &mut new } else { &mut old.process };
        assert!(
            control_path(&path).exists() && lock_path(&path).exists(),
            "{failing}"
        );
        left.signal(rustix::process::Signal::TERM);
        assert_eq!(left.wait().code(), Some(0), "{failing}");
    }
}
