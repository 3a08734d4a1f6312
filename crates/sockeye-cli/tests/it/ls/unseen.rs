//! What permissions hide is not told as a fact.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use super::{connected, objects};
use crate::support::{
    Client, Place, Process, Server, as_other_user, copy_of_sockeye, eventually, is_root, run,
    set_mode, skipped,
};

/// Somebody who may not look into the processes of this user.
struct Nobody(PathBuf);

impl Nobody {
    fn new(place: &Place) -> Option<Self> {
        if !is_root() {
            skipped("not root, so there is no other user");
            return None;
        }
        let nobody = Self(copy_of_sockeye(place));
        as_other_user(nobody.0.as_os_str()).map(|_| nobody)
    }

    fn sockeye(&self) -> Command {
        as_other_user(self.0.as_os_str()).expect("as before")
    }

    fn ls(&self) -> Command {
        let mut command = self.sockeye();
        command.arg("ls");
        command
    }
}

#[test]
fn a_hidden_holder_is_unknown() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let _pair = connected(&listener);
    let listed = run(nobody.ls().arg("--json").arg(place.socket()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    listed.explains(&["process", "root"]);
    let found = objects(&listed);
    assert_eq!(found.len(), 2, "{found:#?}");
    for row in &found {
        assert!(row["holders"].is_null(), "{row}");
    }
    assert!(found[1]["peer"]["holders"].is_null());
    assert!(found[1]["peer"]["inode"].is_u64());

    let listed = run(nobody.ls().arg(place.socket()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    let text = listed.text();
    let last = text.lines().last().expect("a row");
    assert!(last.contains("  ?  "), "{text}");
    assert!(last.contains("? (inode "), "{text}");

    // Where nothing of it is shown, nothing is missing.
    run(nobody
        .ls()
        .args(["-o", "state,address"])
        .arg(place.socket()))
    .succeeds();
    let pid = std::process::id().to_string();
    let words = format!("process {pid} (");
    let denied = run(nobody.ls().args(["--pid", &pid]));
    denied.fails(7, &[&words, "): permission denied", "root"]);
}

#[test]
fn a_namespace_in_which_nobody_listens_is_reported_as_that() {
    if run(Command::new("unshare").args(["-n", "true"])).code != Some(0) {
        return skipped("unshare -n is not permitted");
    }
    let mut command = Command::new("unshare");
    command.arg("-n").arg(env!("CARGO_BIN_EXE_sockeye"));
    let listed = run(command.args(["ls", "--netns", "current"]));
    listed.fails(3, &["no UNIX socket is listening", "ls --all"]);
}

#[test]
fn what_is_not_found_may_be_hidden() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    // A listener in a namespace of which nobody knows, and a name that no file speaks for.
    let mut command = Command::new("unshare");
    command.args([
        "-n",
        env!("CARGO_BIN_EXE_sockeye"),
        "serve",
        "--mode",
        "0666",
    ]);
    if run(Command::new("unshare").args(["-n", "true"])).code != Some(0) {
        return skipped("unshare -n is not permitted");
    }
    let _server = Server::started_by(command.arg(place.socket()), place.socket());
    run(nobody.ls().arg(place.socket())).fails(7, &["process", "root"]);
    run(nobody.ls().arg(place.at("none"))).fails(3, &["none"]);
    // The kernel tells of a socket that is bound to the file, wherever that is.
    run(nobody.ls().args(["--stale", "--in"]).arg(place.dir())).fails(3, &["nothing to list"]);
}

/// Waits until the server, which echoes, has the connection of `sockeye connect`.
#[track_caller]
fn accepted(client: &mut Process) {
    let stdin = client.stdin.as_mut().expect("piped");
    stdin.write_all(b"accepted\n").expect("it reads");
    client.stdout.line("the echo", |line| line == "accepted");
}

#[test]
fn what_is_all_ones_own_is_whole() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    set_mode(place.dir(), 0o777);
    let path = place.socket();
    let server = Server::started_by(nobody.sockeye().args(["serve", "--echo"]).arg(&path), &path);
    let mut client = Process::spawn_piped(nobody.sockeye().arg("connect").arg(&path));
    accepted(&mut client);
    let seen = run(nobody.ls().arg("--json").arg(&path));
    seen.succeeds();
    let found = objects(&seen);
    assert_eq!(found[1]["holders"][0]["pid"], server.process.id());
    assert_eq!(found[1]["peer"]["holders"][0]["pid"], client.id());
    run(nobody.ls().args(["--pid", &client.id().to_string()])).succeeds();
    // A stranger's peer socket is not one's own.
    let mut stranger = Client::connect(&path);
    stranger.send("accepted\n");
    stranger.line();
    let listed = run(nobody.ls().arg(&path));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
}

#[test]
fn an_accepted_connection_of_a_hidden_namespace_makes_a_listing_incomplete() {
    let place = Place::new();
    let Some(Nobody(copy)) = Nobody::new(&place) else {
        return;
    };
    if run(Command::new("unshare").args(["-n", "true"])).code != Some(0) {
        return skipped("unshare -n is not permitted");
    }
    set_mode(place.dir(), 0o777);
    // A user of its own: what it cannot see would be missing for those of the other tests as well.
    let stranger = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65533", "--regid", "65533", "--clear-groups"]);
        command.arg(&copy);
        command
    };
    let ls = || {
        let mut command = stranger();
        command.arg("ls");
        command
    };
    let path = place.socket();
    let server = Server::started_by(stranger().args(["serve", "--echo"]).arg(&path), &path);
    run(ls().arg(&path)).succeeds();
    // Accepted, it belongs to the namespace of its client.
    let mut client = Command::new("unshare");
    client.args(["-n", env!("CARGO_BIN_EXE_sockeye"), "connect"]);
    let mut client = Process::spawn_piped(client.arg(&path));
    accepted(&mut client);
    for options in [
        &[][..],
        &["--json"],
        &["--listening"],
        &["--user", "65533"],
        &["--pid", &server.process.id().to_string()],
    ] {
        let listed = run(ls().args(options).arg(&path));
        assert_eq!(listed.code, Some(7), "{options:?}: {listed:#?}");
        listed.explains(&["1 socket of another network namespace", "root"]);
    }
    let listed = run(ls().arg("--connections").arg(&path));
    listed.fails(7, &["1 socket of another network namespace", "root"]);
    // Its own listener somewhere else, of which it cannot even know.
    let listed = run(ls().args(["-l", "--user", "65533"]));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    let listed = run(super::ls(["--json"]).arg(&path));
    listed.succeeds();
    assert_eq!(
        objects(&listed)[1]["peer"]["holders"][0]["pid"],
        client.id()
    );
}

#[test]
fn a_pending_client_of_a_hidden_namespace_makes_a_listing_incomplete() {
    let place = Place::new();
    let Some(Nobody(copy)) = Nobody::new(&place) else {
        return;
    };
    if run(Command::new("unshare").args(["-n", "true"])).code != Some(0) {
        return skipped("unshare -n is not permitted");
    }
    set_mode(place.dir(), 0o777);
    let stranger = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65532", "--regid", "65532", "--clear-groups"]);
        command.arg(&copy);
        command
    };
    let path = place.socket();
    let server = Server::started_by(stranger().arg("serve").arg(&path), &path);
    let pid = server.process.id().to_string();
    let ls = |options: &[&str]| run(stranger().arg("ls").args(options).arg(&path));
    server.process.freeze();
    let client = |program: &mut Command| Process::spawn_piped(program.arg("connect").arg(&path));
    let _own = client(&mut stranger());
    let waiting = |count: u64| {
        eventually("they wait", || {
            let listed = objects(&run(super::ls(["--json"]).arg(&path)));
            (listed[0]["recv_queue"] == count).then_some(())
        });
    };
    waiting(1);
    ls(&["--json"]).succeeds();
    ls(&["--connections"]).succeeds();
    let mut apart = Command::new("unshare");
    let _theirs = client(apart.args(["-n", env!("CARGO_BIN_EXE_sockeye")]));
    waiting(2);
    for options in [
        &[][..],
        &["--json"],
        &["--connections"],
        &["--user", "65532"],
        &["--pid", &pid],
    ] {
        let listed = ls(options);
        assert_eq!(listed.code, Some(7), "{options:?}: {listed:#?}");
        listed.explains(&["process", "root"]);
    }
    ls(&["--listening"]).succeeds();
    run(&mut super::ls([&path])).succeeds();
}

#[test]
fn what_may_not_be_looked_at_may_be_there() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    let below = place.at("closed/below");
    std::fs::create_dir_all(&below).expect("our own place");
    set_mode(&place.at("closed"), 0o600);
    let shown = below.to_str().expect("plain");
    run(nobody.ls().arg(below.join("app.sock"))).fails(7, &[shown, "root may"]);

    // The same for root, who is not sent to root.
    std::os::unix::fs::chown(place.at("closed"), Some(65534), None).expect("we are root");
    let listed = run(powerless().arg(below.join("app.sock")));
    listed.fails(7, &[shown]);
    assert!(!listed.stderr.contains("root"), "{listed:#?}");
    set_mode(&place.at("closed"), 0o700);
}

/// `sockeye ls` as root without any capability.
fn powerless() -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--ambient-caps=-all",
    ]);
    command.args([env!("CARGO_BIN_EXE_sockeye"), "ls"]);
    command
}

#[test]
fn descriptors_may_be_counted_and_not_read() {
    let place = Place::new();
    if Nobody::new(&place).is_none() {
        return;
    }
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let listed = run(powerless().arg("--json").arg(place.socket()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    listed.explains(&["process"]);
    assert!(!listed.stderr.contains("root"), "{listed:#?}");
    assert!(objects(&listed)[0]["holders"].is_null(), "{listed:#?}");
}

#[test]
fn processes_hidden_by_the_mount_of_proc_are_unknown() {
    let place = Place::new();
    if Nobody::new(&place).is_none() {
        return;
    }
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let script = r#"
        mount -t proc -o hidepid=invisible proc /proc
        exec setpriv --reuid 65534 --regid 65534 --clear-groups "$1/sockeye" ls --json "$1/app.sock""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-e", "-c", script, "sh"]);
    let listed = run(command.arg(place.dir()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    // Of other users; or one of this user that is just ending.
    listed.explains(&["even counted|): permission denied", "root would see them"]);
    assert!(objects(&listed)[0]["holders"].is_null(), "{listed:#?}");
}

#[test]
fn the_directory_that_denies_is_named() {
    let place = Place::new();
    place.set_mode(0o755);
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    let closed = place.at("closed");
    std::fs::create_dir(&closed).expect("our own place");
    set_mode(&closed, 0o700);
    let listed = run(nobody.ls().arg(closed.join("s")));
    let words = format!(
        "the directory {} (mode 0700) may not be searched",
        closed.display()
    );
    listed.fails(7, &[&words]);
}

#[test]
fn a_directory_that_denies_is_named_where_stale_files_are_looked_for() {
    let (place, tools) = (Place::new(), Place::new());
    let copy = copy_of_sockeye(&tools);
    let Some(mut command) = as_other_user(copy.as_os_str()) else {
        return;
    };
    let closed = place.at("closed");
    std::fs::create_dir_all(closed.join("sub")).expect("our own place");
    place.set_mode(0o755);
    set_mode(&closed, 0o700);
    command
        .args(["ls", "--stale", "--in"])
        .arg(closed.join("sub"));
    let named = format!("the directory {} does not let uid", closed.display());
    run(&mut command).fails(5, &[&named]);
}
