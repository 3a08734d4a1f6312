//! Servers that listen and do not run.

use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::{Told, kind, why};
use crate::support::{Place, Process, Server, is_root, optional_peer, python, run, skipped};

#[test]
fn a_stopped_server_is_named_also_with_room_in_the_backlog() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let pid = server.process.id();
    server.process.freeze();
    let words = [
        &*format!("pid {pid} (sockeye) is stopped (state T)"),
        &format!("advice: kill -CONT {pid}\n"),
        "0 waiting, limit",
    ];
    let told = why(place.socket(), &[]);
    told.is(6, "stopped", &words);
    assert_eq!(told.steps("process"), ["no"]);
    // That the kernel queues a connection says nothing about the process.
    let told = why(place.socket(), &["--connect"]);
    told.is(6, "stopped", &words[..2]);
    assert_eq!(told.steps("connect"), ["ok"]);
    server.process.thaw();
    let told = why(place.socket(), &[]);
    told.is(0, "none", &[]);
    assert_eq!(told.steps("process"), [""; 0]);
}

#[test]
fn a_stopped_server_with_a_full_backlog_is_named() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--backlog", "1"]);
    server.process.freeze();
    let _waiting: Vec<UnixStream> = (0..2)
        .map(|_| UnixStream::connect(place.socket()).expect("there is room"))
        .collect();
    let told = why(place.socket(), &[]);
    told.is(6, "stopped", &["2 waiting, limit 1, full", "(state T)"]);
    assert_eq!(told.steps("backlog"), ["no"]);
}

#[test]
fn a_stopped_receiver_of_datagrams_is_named() {
    let place = Place::new();
    let address = kind("dgram:", &place.socket());
    let server = Server::started_by(Server::command(&[]).arg(&address), place.socket());
    server.process.freeze();
    why(&address, &[]).is(6, "stopped", &["datagrams are queued", "then senders wait"]);
}

/// The others go on, so somebody answers.
#[test]
fn one_stopped_process_of_two_that_share_a_listener_is_named() {
    const SHARED: &str = "
import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
child = os.fork()
if not child: signal.pause()
os.kill(child, signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
print(child)
sys.stdin.read()
os.kill(child, signal.SIGKILL)
";
    let place = Place::new();
    let Some(mut command) = python(SHARED) else {
        return;
    };
    let mut server = Process::spawn_piped(command.arg(place.socket()));
    let child = &server.stdout.first_lines(1)[0];
    let told = why(place.socket(), &[]);
    told.is(
        0,
        "none",
        &[&format!("pid {child} ("), "is stopped (state T)"],
    );
    assert_eq!(told.steps("process"), ["note"]);
    drop(server.stdin.take());
    server.wait();
}

/// As `docker pause` does it: the state of the process itself says nothing.
#[test]
fn a_frozen_cgroup_is_named() {
    const FREEZE: &str = "
mount -t cgroup2 none /sys/fs/cgroup || exit 77
group=/sys/fs/cgroup/sockeye-test-$0
mkdir $group && echo $0 >$group/cgroup.procs || exit 77
echo 1 >$group/cgroup.freeze
until grep -q 'frozen 1' $group/cgroup.events; do :; done
\"$@\"
code=$?
echo 0 >$group/cgroup.freeze
echo $0 >/sys/fs/cgroup/cgroup.procs
rmdir $group
exit $code
";
    let Some(unshare) = optional_peer("unshare").filter(|_| is_root()) else {
        return skipped("not root, or no unshare");
    };
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let pid = server.process.id().to_string();
    let inside = |program: &[&OsStr]| {
        let mut command = Command::new(&unshare);
        command.args(["-m", "--propagation", "private", "sh", "-c", FREEZE, &pid]);
        command.args(program);
        command
    };
    if run(&mut inside(&["true".as_ref()])).code == Some(77) {
        return skipped("version 2 of cgroups cannot be mounted here");
    }
    let sockeye = env!("CARGO_BIN_EXE_sockeye").as_ref();
    let told = Told::by(|| inside(&[sockeye, "why".as_ref(), place.socket().as_os_str()]));
    let words = [&*format!("pid {pid} (sockeye) is frozen"), "unpause"];
    told.is(6, "stopped", &words);
    let listed = run(&mut inside(&[
        sockeye,
        "ls".as_ref(),
        place.socket().as_os_str(),
    ]));
    let row = format!("{pid}/sockeye (stopped)");
    assert!(listed.succeeds().text().contains(&row), "{listed:#?}");
}
