//! Servers in user namespaces, where the kernel shows 65534 for every user without a mapping.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use crate::support::{
    Ending, Finished, Place, Process, REPLY, Server, copy_of_sockeye, eventually, is_root,
    lock_path, optional_peer, run, skipped, stale_socket,
};

const KINDS: [&str; 3] = ["unix", "seqpacket", "dgram"];
/// Maps root and 65534, and nobody in between.
const PARTIAL: &str = "0 0 1000\n65534 65534 1\n";
const COMPLETE: &str = "0 0 4294967295\n";

/// A place with a copy of the command, for tests that are several users.
struct Namespace {
    place: Place,
    program: PathBuf,
}

impl Namespace {
    /// `None`, and says so, where this process may not be several users in a user namespace.
    fn new() -> Option<Self> {
        if !is_root() {
            skipped("needs root, to be several users");
            return None;
        }
        optional_peer("setpriv")?;
        optional_peer("unshare")?;
        if run(Command::new("unshare").args(["-U", "true"])).code != Some(0) {
            skipped("unshare -U is not permitted");
            return None;
        }
        let place = Place::with_socket("hidden-user.sock");
        let program = copy_of_sockeye(&place);
        Some(Self { place, program })
    }

    fn address(&self, kind: &str) -> String {
        format!("{kind}:{}", self.place.socket().display())
    }

    /// `sockeye OPTIONS` in a user namespace without any mapping.
    fn unmapped(&self, options: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.arg("-U").arg(&self.program).args(options);
        command
    }

    /// `sockeye serve OPTIONS ADDRESS`, listening, in a user namespace with this map of users and
    /// of groups.
    fn serve(&self, map: &str, options: &[&str], address: &str) -> Server {
        self.started([map; 2], &[options, &[address]].concat())
    }

    /// As [`Self::serve`], with a shell script for each connection or datagram.
    fn serve_script(&self, map: &str, options: &[&str], address: &str, script: &str) -> Server {
        self.started(
            [map; 2],
            &[options, &[address, "--", "sh", "-c", script]].concat(),
        )
    }

    /// With a map of users and one of groups.
    fn started(&self, maps: [&str; 2], arguments: &[&str]) -> Server {
        let script = r#"read go; exec "$0" serve --mode 0666 "$@""#;
        let mut command = Command::new("unshare");
        command.args(["-U", "sh", "-c", script]).arg(&self.program);
        let mut process = Process::spawn_piped(command.args(arguments));
        let own = fs::read_link("/proc/self/ns/user").expect("our own");
        let namespace = format!("/proc/{}/ns/user", process.id());
        eventually("the namespace is there", || {
            (fs::read_link(&namespace).ok()? != own).then_some(())
        });
        for (kind, map) in ["uid_map", "gid_map"].into_iter().zip(maps) {
            fs::write(format!("/proc/{}/{kind}", process.id()), map).expect("root may");
        }
        let mut stdin = process.stdin.take().expect("piped");
        stdin.write_all(b"go\n").expect("it reads");
        Server::of(process, self.place.socket())
    }

    /// `sockeye send OPTIONS ADDRESS MESSAGE` as that user.
    fn send(&self, uid: u32, address: &str, message: &str) -> Finished {
        let mut client = Command::new("setpriv");
        client.arg(format!("--reuid={uid}"));
        client.arg(format!("--regid={uid}")).arg("--clear-groups");
        client
            .arg(&self.program)
            .args(["send", "--timeout", "500ms"]);
        run(client.args([address, message]))
    }
}

fn was_refused(ending: &Ending, message: &str) -> bool {
    let line = |line: &str| line.starts_with("sockeye: warning: ") && line.contains("uid ?");
    !ending.stdout.contains(message) && ending.stderr.lines().any(line)
}

#[test]
fn a_user_without_a_mapping_is_none_of_those_allowed() {
    let Some(here) = Namespace::new() else { return };
    for kind in KINDS {
        for allowed in [
            ["--allow-user", "65534"],
            ["--allow-group", "65534"],
            // Our own user is root.
            ["--allow-user", "1"],
        ] {
            let address = here.address(kind);
            let mut server = here.serve(PARTIAL, &allowed, &address);
            here.send(1001, &address, "stranger");
            // 65534 has a mapping here, and cannot be told from those who have none.
            here.send(65534, &address, "nobody");
            let own = here.send(0, &address, "own");
            let ending = server.stop();
            let context = format!("{kind} {allowed:?} {ending:#?}");
            assert!(own.text().contains(REPLY), "{own:#?} {context}");
            assert!(was_refused(&ending, "stranger"), "{context}");
            assert!(!ending.stdout.contains("nobody"), "{context}");
            assert_eq!(ending.is_clean().refused, 2, "{context}");
        }
    }
}

#[test]
fn where_all_users_are_mapped_65534_is_the_user_of_that_number() {
    let Some(here) = Namespace::new() else { return };
    for kind in KINDS {
        let address = here.address(kind);
        let mut server = here.serve(COMPLETE, &["--allow-user", "65534"], &address);
        here.send(65534, &address, "nobody").succeeds();
        here.send(1001, &address, "stranger");
        let ending = server.stop();
        assert!(ending.stdout.contains("uid 65534: nobody"), "{ending:#?}");
        assert!(!ending.stdout.contains("stranger"), "{ending:#?}");
        assert_eq!(ending.is_clean().refused, 1, "{kind} {ending:#?}");
    }
}

#[test]
fn of_two_options_the_one_without_effect_is_named() {
    let Some(here) = Namespace::new() else { return };
    let (user, group) = ("--allow-user", "--allow-group");
    for (maps, works, fails) in [
        ([COMPLETE, PARTIAL], user, group),
        ([PARTIAL, COMPLETE], group, user),
    ] {
        let address = here.address("unix");
        let mut server = here.started(maps, &[user, "65534", group, "65534", &address]);
        let nobody = here.send(65534, &address, "nobody");
        assert!(nobody.text().contains(REPLY), "{maps:?} {nobody:#?}");
        let ending = server.stop();
        let says = |option: &str| {
            ending
                .stderr
                .contains(&format!("{option} 65534 has no effect"))
        };
        assert!(says(fails) && !says(works), "{ending:#?}");
        ending.is_clean();
    }
}

#[test]
fn a_server_without_a_mapping_does_not_take_strangers_for_its_own_user() {
    let Some(here) = Namespace::new() else { return };
    for kind in KINDS {
        let address = here.address(kind);
        let mut command =
            here.unmapped(&["serve", "--mode", "0666", "--allow-user", "1", &address]);
        let mut server = Server::started_by(&mut command, here.place.socket());
        here.send(1001, &address, "stranger");
        let ending = server.stop();
        assert!(was_refused(&ending, "stranger"), "{kind} {ending:#?}");
        // It has known its own files all the same, and removed them.
        assert_eq!(ending.is_clean().refused, 1, "{kind} {ending:#?}");
    }
}

#[test]
fn users_without_a_mapping_have_one_limit_together() {
    let Some(here) = Namespace::new() else { return };
    let address = here.address("unix");
    let options = ["--max-per-uid", "1", "--echo"];
    let mut server = here.serve(PARTIAL, &options, &address);
    let mut client = Command::new("setpriv");
    client.args(["--reuid=1001", "--regid=1001", "--clear-groups"]);
    let mut client = Process::spawn_piped(client.arg(&here.program).args(["connect", &address]));
    let input = client.stdin.as_mut().expect("piped");
    input.write_all(b"first\n").expect("it reads");
    client.stdout.line("the echo", |line| line == "first");
    assert_eq!(here.send(1002, &address, "second").text(), "");
    let own = here.send(0, &address, "own");
    assert_eq!(own.text(), "own\n", "others are none of them");
    drop(client.stdin.take());
    client.finish().succeeds();
    assert_eq!(server.stop().is_clean().refused, 1);
}

#[test]
fn a_user_without_a_mapping_is_shown_as_unknown() {
    let Some(here) = Namespace::new() else { return };
    for kind in KINDS {
        let address = here.address(kind);
        let mut server = here.serve(PARTIAL, &[], &address);
        here.send(1001, &address, "stranger").succeeds();
        let ending = server.stop();
        assert!(ending.stdout.contains(" uid ?: stranger\n"), "{ending:#?}");
        ending.is_clean();
        let mut server = here.serve(PARTIAL, &["--json"], &address);
        here.send(1001, &address, "stranger").succeeds();
        let ending = server.stop();
        let event: serde_json::Value = serde_json::from_str(&ending.stdout).expect("one object");
        assert_eq!(event["uid"], serde_json::Value::Null, "{ending:#?}");
        ending.is_clean();
    }
}

#[test]
fn a_program_is_not_told_an_id_that_is_not_known() {
    let Some(here) = Namespace::new() else { return };
    let script = r#"read line; echo "<${IPCREMOTEEUID-unset} ${IPCREMOTEEGID-unset} ${IPCCONNNUM-unset}\
        ${UNIXREMOTEEUID-unset} ${UNIXREMOTEEGID-unset}>""#;
    for kind in KINDS {
        for tradition in ["ipc", "ucspi"] {
            let address = here.address(kind);
            let options = ["--env", tradition];
            let mut server = here.serve_script(PARTIAL, &options, &address, script);
            let told = here.send(1001, &address, "stranger").text();
            let told: Vec<&str> = told.split_whitespace().collect();
            assert_eq!(
                told,
                ["<unset", "unset", "unset", "unset", "unset>"],
                "{address}"
            );
            let known = here.send(0, &address, "own").text();
            let first = match tradition {
                "ipc" => "<0 0 1 ",
                _ => "<unset unset unset",
            };
            assert!(known.starts_with(first), "{address}: {known}");
            assert!(tradition == "ipc" || known.contains("0 0>"), "{known}");
            server.stop().is_clean();
        }
    }
}

#[test]
fn a_server_whose_user_is_not_known_is_taken_over_by_nobody() {
    let Some(here) = Namespace::new() else { return };
    for kind in ["unix", "seqpacket"] {
        let address = here.address(kind);
        let mut command = here.unmapped(&["serve", "--takeover", &address]);
        let mut server = Server::started_by(&mut command, here.place.socket());
        let successor = run(&mut here.unmapped(&["serve", "--takeover", &address]));
        successor.fails(5, &["take over", "cannot be known", "user namespace"]);
        assert!(here.send(0, &address, "still there").text().contains(REPLY));
        server.stop().is_clean();
    }
}

#[test]
fn a_successor_that_the_servers_namespace_does_not_know_is_told_so() {
    let Some(here) = Namespace::new() else { return };
    here.place.set_mode(0o777);
    for kind in ["unix", "seqpacket"] {
        for mapped in ["--map-root-user", "--map-user=65534"] {
            let address = here.address(kind);
            let mut command = Command::new("setpriv");
            command.args(["--reuid=1234", "--regid=1234", "--clear-groups"]);
            command
                .args(["unshare", "--user", mapped])
                .arg(&here.program);
            command.args(["serve", "--takeover", &address]);
            let mut server = Server::started_by(&mut command, here.place.socket());
            let mut successor = Command::new(&here.program);
            successor.args(["serve", "--takeover", "--takeover-from", "1234", &address]);
            run(&mut successor).fails(
                5,
                &["take over", "uid 1234", "refuses us", "user namespace"],
            );
            let still_there = here.send(1234, &address, "still there");
            assert!(still_there.text().contains(REPLY), "{still_there:#?}");
            let ending = server.stop();
            assert!(
                ending.stderr.contains("refused to hand over to"),
                "{ending:#?}"
            );
            ending.is_clean();
        }
    }
}

#[test]
fn a_lock_file_of_a_user_who_is_not_known_is_left_alone() {
    let Some(here) = Namespace::new() else { return };
    let lock = lock_path(&here.place.socket());
    fs::write(&lock, "").expect("our own place");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).expect("our own file");
    chown(&lock, Some(1001), Some(1001)).expect("root may");
    let address = here.address("unix");
    let mut server = Server::started_by(
        &mut here.unmapped(&["serve", &address]),
        here.place.socket(),
    );
    let ending = server.stop();
    assert_eq!((ending.code, &ending.left), (Some(0), &vec![lock.clone()]));
    let found = fs::metadata(&lock).expect("it is left");
    assert_eq!((found.uid(), found.mode() & 0o777), (1001, 0o666));
}

#[test]
fn ls_and_why_do_not_give_a_number_to_whom_they_do_not_know() {
    let Some(here) = Namespace::new() else { return };
    let path = here.place.socket();
    let address = here.address("unix");
    let mut server = Command::new("setpriv");
    here.place.set_mode(0o777);
    server.args(["--reuid=1001", "--regid=1001", "--clear-groups"]);
    server.arg(&here.program);
    server.args(["serve", "--mode", "0660", &address]);
    let server = Server::started_by(&mut server, &path);
    let text = path.to_str().expect("plain");
    let listed = run(&mut here.unmapped(&["ls", "--json", text]));
    let row: serde_json::Value = serde_json::from_str(&listed.text()).expect("one object");
    assert_eq!(row["uid"], serde_json::Value::Null, "{listed:#?}");
    assert_eq!(row["holders"][0]["uid"], serde_json::Value::Null, "{row}");
    let shown = run(&mut here.unmapped(&["ls", "--columns", "user", text])).text();
    assert_eq!(shown.lines().nth(1).map(str::trim), Some("?"), "{shown}");
    let why = run(&mut here.unmapped(&["why", text])).text();
    assert!(why.contains("mode 0660, ?:?"), "{why}");
    assert!(why.contains("by uid ? "), "{why}");
    assert!(!why.contains("65534"), "{why}");
    drop(server);

    stale_socket(&here.place.at("stale"));
    chown(here.place.at("stale"), Some(1001), None).expect("root may");
    let dir = here.place.dir().to_str().expect("plain");
    let stale = run(&mut here.unmapped(&["ls", "--stale", "--in", dir, "--json"])).text();
    let row = stale.lines().find(|line| line.contains("/stale\""));
    assert!(
        row.is_some_and(|row| row.contains("\"uid\":null")),
        "{stale}"
    );
}
