//! A socket file that is seen twice, through overlayfs or FUSE: the server is reached at one of them
//! only, and nobody takes the other one for a dead one's.
//!
//! Each test has a name of its own for the sockets, since those of other tests may be the same file
//! as far as anybody can tell.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::process::Signal;

use crate::support::{
    Fuse, Place, Process, Server, bind_file, eventually, in_own_mounts, is_root, mount_overlay,
    require_peer, run, skipped, sockeye, stale_socket,
};

/// What serves, in turn: each with the prefix of its kind.
const SERVERS: [(&str, &str); 3] = [
    ("stream", ""),
    ("seqpacket", "seqpacket:"),
    ("dgram", "dgram:"),
];

/// A server of each kind in `bound_in` whose file `seen_in` shows as well.
#[track_caller]
fn servers_stay(bound_in: &Path, seen_in: &Path, test: &str) {
    for (kind, prefix) in SERVERS {
        let name = format!("{test}-{kind}-{}.sock", std::process::id());
        let (path, seen) = (bound_in.join(&name), seen_in.join(&name));
        let mut address = std::ffi::OsString::from(prefix);
        address.push(&path);
        let mut server = Server::started_by(Server::command(&[]).arg(&address), &path);
        let pid = format!("pid {}", server.process.id());
        let number = fs::metadata(&path).expect("it listens").ino();

        let mut second = sockeye();
        second.arg("serve").arg(&seen);
        run(&mut second).fails(4, &[&pid, "same file name", "remove it if you know"]);
        let told = run(sockeye().arg("why").arg(&seen));
        assert_eq!(told.code, Some(4), "{told:#?}");
        for words in [&pid, "a connect is refused, and yet", "remove the file if"] {
            assert!(told.text().contains(words), "{words}: {told:#?}");
        }
        assert!(!told.text().contains("stale"), "{told:#?}");
        let listed = run(sockeye().args(["ls", "--stale", "--in"]).arg(seen_in));
        assert_eq!(listed.code, Some(7), "{listed:#?}");
        listed.explains(&[&pid, "1 may have an open socket", "sockeye why"]);
        assert!(listed.text().contains("?") && !listed.text().contains("stale"));
        let failed = run(sockeye().args(["send"]).arg(&seen).arg("hello"));
        failed.fails(3, &[&pid, "the path that its server has bound"]);

        let sent = run(sockeye().args(["send"]).arg(&address).arg("hello"));
        assert_eq!(sent.code, Some(0), "{sent:#?}");
        assert_eq!(fs::metadata(&path).expect("it is there").ino(), number);
        server.stop();
        assert!(!path.exists(), "its own file was removed");
    }
    dead_ones_are_replaced(seen_in, test);
}

/// What a killed server leaves behind is not blocked by a running one that has another file of the
/// same name.
#[track_caller]
fn dead_ones_are_replaced(directory: &Path, test: &str) {
    let name = format!("{test}-dead-{}.sock", std::process::id());
    let elsewhere = Place::new();
    let _namesake = Server::start(elsewhere.at(&name), &[]);
    // The clock of files ticks every few milliseconds, and those of one time may be one file.
    let earlier = Timespec {
        tv_sec: 1_700_000_000,
        tv_nsec: 1,
    };
    let times = Timestamps {
        last_access: earlier,
        last_modification: earlier,
    };
    utimensat(CWD, elsewhere.at(&name), &times, AtFlags::empty()).expect("our own file");
    let mut killed = Server::start(directory.join(&name), &[]);
    killed.process.signal(Signal::KILL);
    killed.process.wait();
    let found = run(sockeye().args(["why"]).arg(directory.join(&name)));
    assert!(
        found.text().contains("verdict: the socket file is stale"),
        "{found:#?}"
    );
    let mut server = Server::start(directory.join(&name), &[]);
    server.ask("hello");
    server.stop();
    assert!(!directory.join(&name).exists());
}

#[test]
fn a_server_stays_that_is_seen_through_an_overlay_or_below_it() {
    in_own_mounts(|| {
        for (place, is_below) in [(Place::new(), true), (Place::new(), false)] {
            let (upper, merged) = (place.at("upper"), place.at("merged"));
            if mount_overlay(place.dir(), &upper, &merged) {
                if is_below {
                    servers_stay(&upper, &merged, "overlay");
                } else {
                    servers_stay(&merged, &upper, "overlay");
                }
            }
        }
    });
}

#[test]
fn a_server_stays_that_is_seen_through_bindfs_or_below_it() {
    in_own_mounts(|| {
        for is_below in [true, false] {
            let place = Place::new();
            let (below, shown) = (place.at("below"), place.at("shown"));
            let Some(_fuse) = Fuse::mount("bindfs", &["-f"], &below, &shown) else {
                return;
            };
            if is_below {
                servers_stay(&below, &shown, "bindfs");
            } else {
                servers_stay(&shown, &below, "bindfs");
            }
        }
    });
}

/// It shows inode numbers of its own.
#[test]
fn a_server_stays_that_is_seen_through_mergerfs_or_below_it() {
    in_own_mounts(|| {
        for is_below in [true, false] {
            let place = Place::new();
            let (below, shown) = (place.at("below"), place.at("shown"));
            let Some(_fuse) = Fuse::mount("mergerfs", &["-f"], &below, &shown) else {
                return;
            };
            if is_below {
                servers_stay(&below, &shown, "mergerfs");
            } else {
                servers_stay(&shown, &below, "mergerfs");
            }
        }
    });
}

/// Of a single file, as container runtimes make them. The server has restarted since, or ended.
#[test]
fn a_bind_mount_of_a_dead_file_is_named_as_that() {
    in_own_mounts(|| {
        let place = Place::new();
        let (file, shown) = (place.at("real.sock"), place.at("bind-mounted.sock"));
        stale_socket(&file);
        bind_file(&file, &shown);
        for is_removed in [false, true] {
            if is_removed {
                fs::remove_file(&file).expect("our own");
            }
            let told = run(sockeye().arg("why").arg(&shown));
            assert_eq!(told.code, Some(3), "{told:#?}");
            let removed = told.text().contains("removed since");
            assert_eq!(removed, is_removed, "{told:#?}");
            for words in ["bind mount of a", "mount the directory"] {
                assert!(told.text().contains(words), "{words}: {told:#?}");
            }
            let before = fs::metadata(&shown).expect("it is there").ino();
            let mut server = sockeye();
            server.arg("serve").arg(&shown);
            run(&mut server).fails(4, &["bind mount", "mount its directory instead"]);
            assert_eq!(fs::metadata(&shown).expect("it is there").ino(), before);
            assert!(!place.at("bind-mounted.sock.lock").exists());
        }
    });
}

/// The kernel remembers for a second what FUSE said of a file, and a client may touch it at any time.
#[test]
fn a_server_that_has_restarted_or_is_touched_all_the_time_stays() {
    use std::sync::atomic::{AtomicBool, Ordering};
    in_own_mounts(|| {
        for program in ["bindfs", "mergerfs"] {
            let place = Place::new();
            let (below, shown) = (place.at("below"), place.at("shown"));
            let Some(_fuse) = Fuse::mount(program, &["-f"], &below, &shown) else {
                return;
            };
            let name = format!("touched-{program}-{}.sock", std::process::id());
            let (path, seen) = (below.join(&name), shown.join(&name));
            let mut killed = Server::start(path.clone(), &[]);
            killed.process.signal(Signal::KILL);
            killed.process.wait();
            fs::metadata(&seen).expect("it is there");
            let mut server = Server::start(path.clone(), &[]);
            let ends = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for is_touched in [false, true] {
                    if is_touched {
                        scope.spawn(|| {
                            while !ends.load(Ordering::Relaxed) {
                                utimensat(CWD, &path, &now(), AtFlags::empty())
                                    .expect("our own file");
                            }
                        });
                    }
                    let mut second = sockeye();
                    second.arg("serve").arg(&seen);
                    let found = run(&mut second);
                    if is_touched {
                        ends.store(true, Ordering::Relaxed);
                    }
                    found.fails(4, &["same file name"]);
                }
            });
            server.ask("hello");
            server.stop();
        }
    });
}

/// As touch(1) sets them.
fn now() -> Timestamps {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    Timestamps {
        last_access: now,
        last_modification: now,
    }
}

/// What is mounted there may be a view that shows numbers of its own, as its process tells.
#[test]
fn a_server_stays_whose_view_is_in_another_mount_namespace() {
    in_own_mounts(|| {
        let place = Place::new();
        let (below, shown) = (place.at("below"), place.at("shown"));
        // The mount that counts is made by the script; this one tells whether it can be.
        let Some(fuse) = Fuse::mount("mergerfs", &["-f"], &below, &shown) else {
            return;
        };
        drop(fuse);
        let (Some(unshare), Some(program)) = (require_peer("unshare"), require_peer("mergerfs"))
        else {
            return;
        };
        let name = format!("elsewhere-{}.sock", std::process::id());
        let path = below.join(&name);
        let script = r#"
            "$1" -f "$2" "$3" & until mountpoint -q "$3"; do kill -0 $! || exit 9; sleep 0.02; done
            exec "$5" serve -q "$3/$4"
        "#;
        let mut command = std::process::Command::new(&unshare);
        command
            .args(["-m", "--propagation", "private", "-p", "-f", "--kill-child"])
            .args(["bash", "-c", script, "sh"])
            .args([program.as_ref(), below.as_os_str(), shown.as_os_str()])
            .args([&*name, env!("CARGO_BIN_EXE_sockeye")]);
        let _server = Process::spawn(&mut command);
        eventually("it is bound", || path.exists().then_some(()));
        run(sockeye().arg("serve").arg(&path)).fails(4, &["same file name"]);
        assert!(path.exists());
    });
}

/// Each has a file system of its own at the path, as containers of one image have, and one network.
#[test]
fn a_namesake_in_another_container_blocks_no_restart() {
    let Some(unshare) = require_peer("unshare").filter(|_| is_root()) else {
        return skipped("needs root and unshare");
    };
    let container = |options: &[&str], script: &str, path: &Path| {
        let mut command = std::process::Command::new(&unshare);
        command.args(["-m", "--propagation", "private", "--kill-child"]);
        command.args(options).args(["bash", "-c", script, "sh"]);
        command.args([
            path.as_os_str(),
            path.parent().expect("its directory").as_os_str(),
        ]);
        command.arg(env!("CARGO_BIN_EXE_sockeye"));
        command
    };
    let hidden: &[&str] = &["-p", "-f", "--mount-proc"];
    let lives = r#"mount -t tmpfs none "$2" && $before && exec "$3" serve -q "$1""#;
    let restarts = r#"
        mount -t tmpfs none "$2" || exit 9
        "$3" serve -q "$1" & p=$!; until "$3" send "$1" hi; do kill -0 $p || exit 9; done
        kill -9 $p; wait $p 2>/dev/null
        "$3" why "$1"; echo "why $?"; "$3" ls --stale --in "$2"; echo "ls $?"
        "$3" serve --once "$1" & p=$!; until "$3" send "$1" hi; do kill -0 $p || break; done
        wait $p; echo "serve $?"
    "#;
    // The next number of a file is another one, or the same.
    for (before, claimant, told) in [
        (": > \"$2/other\"", hidden, ["why 3", "ls 0", "serve 0"]),
        (":", hidden, ["why 4", "ls 7", "serve 4"]),
        // What the other one has mounted is seen.
        (":", &["-f"], ["why 3", "ls 0", "serve 0"]),
    ] {
        let place = Place::new();
        let path = place.at(format!("container-{}.sock", std::process::id()));
        let script = lives.replace("$before", before);
        let _other = Process::spawn(&mut container(hidden, &script, &path));
        let is_bound = || {
            let table = fs::read("/proc/net/unix").expect("it is mounted");
            let table = String::from_utf8_lossy(&table);
            table.contains(path.to_str()?).then_some(())
        };
        eventually("the other one is bound", is_bound);
        let found = run(&mut container(claimant, restarts, &path));
        for words in told {
            assert!(
                found.text().contains(words),
                "{before} {claimant:?} {words}: {found:#?}"
            );
        }
        let shown = format!(
            "{} {}",
            if told[1] == "ls 7" { "?" } else { "stale" },
            path.display()
        );
        let row = |line: &str| {
            line.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .starts_with(&shown)
        };
        assert!(found.text().lines().any(row), "{shown}: {found:#?}");
    }
}

/// An overlay goes on showing the file that it has shown once.
#[test]
fn a_server_that_has_restarted_below_an_overlay_stays() {
    in_own_mounts(|| {
        let place = Place::new();
        let (upper, merged) = (place.at("upper"), place.at("merged"));
        if !mount_overlay(place.dir(), &upper, &merged) {
            return;
        }
        for (kind, prefix) in SERVERS {
            let name = format!("cached-{kind}-{}.sock", std::process::id());
            let (path, seen) = (upper.join(&name), merged.join(&name));
            let address = format!("{prefix}{}", path.display());
            let start = || Server::started_by(Server::command(&[]).arg(&address), &path);
            let mut first = start();
            let looked = run(sockeye().arg("why").arg(&seen));
            assert_eq!(looked.code, Some(4), "{looked:#?}");
            first.stop();
            let _second = start();
            let found = run(sockeye().arg("why").arg(&seen));
            assert_eq!(found.code, Some(4), "{found:#?}");
            for words in ["layer below overlayfs was changed", "remount the overlay"] {
                assert!(found.text().contains(words), "{words}: {found:#?}");
            }
            assert!(!found.text().contains("bind mount"), "{found:#?}");
            let listed = run(sockeye().args(["ls", "--stale", "--in"]).arg(&merged));
            assert_eq!(listed.code, Some(7), "{listed:#?}");
            listed.explains(&["layer below overlayfs was changed"]);
            let words = ["layer below overlayfs was changed", "remount the overlay"];
            run(sockeye().arg("serve").arg(&seen)).fails(4, &words);
            run(sockeye().args(["send", &address, "hello"])).succeeds();
        }
    });
}
