//! `--allow-user` and `--allow-group`, with clients of another user.

use std::process::Command;

use crate::support::{
    Place, Server, copy_of_sockeye, is_root, optional_peer, run, skipped, sockeye,
};

/// A group without members, unless a test adds some.
const GROUP: &str = "64999";

struct Case {
    options: &'static [&'static str],
    /// Further groups of the client, which is nobody otherwise.
    groups: &'static str,
    connections: bool,
    datagrams: bool,
}

const fn case(options: &'static [&'static str], allowed: bool) -> Case {
    Case {
        options,
        groups: "--clear-groups",
        connections: allowed,
        datagrams: allowed,
    }
}

const CASES: &[Case] = &[
    case(&[], true),
    case(&["--allow-user", "1"], false),
    case(&["--allow-user", "root"], false),
    case(&["--allow-user", "nobody"], true),
    case(&["--allow-user", "1", "--allow-user", "65534"], true),
    case(&["--allow-group", GROUP], false),
    case(&["--allow-group", "nogroup"], true),
    case(&["--allow-user", "1", "--allow-group", "65534"], true),
    Case {
        options: &["--allow-group", "1", "--allow-group", GROUP],
        groups: "--groups=64998,64999",
        connections: true,
        // What comes with a datagram are its sender's user and first group; its process has more.
        datagrams: true,
    },
    Case {
        options: &["--allow-group", GROUP],
        groups: "--groups=64998,64997",
        connections: false,
        datagrams: false,
    },
    Case {
        options: &["--allow-user", "1"],
        groups: "--groups=64998,64999",
        connections: false,
        datagrams: false,
    },
];

#[test]
fn others_are_refused_before_any_handler() {
    if !is_root() {
        return skipped("needs root, to be two users");
    }
    let Some(setpriv) = optional_peer("setpriv") else {
        return;
    };
    for kind in ["unix", "seqpacket", "dgram"] {
        for case in CASES {
            let place = Place::new();
            let program = copy_of_sockeye(&place);
            let address = format!("{kind}:{}", place.socket().display());
            let mut command = Server::command(&["--mode", "0666"]);
            command.args(case.options).arg(&address);
            let mut server = Server::started_by(&mut command, place.socket());

            // Our own user is always allowed, and needs no group.
            let own = run(sockeye().arg("send").args([&address, "own"]));
            own.succeeds();

            let mut client = Command::new(&setpriv);
            client.args(["--reuid=65534", "--regid=65534", case.groups]);
            client.arg(&program).args(["send", &address, "other"]);
            let is_allowed = match kind {
                "dgram" => {
                    // Nothing would ever come.
                    client.args(["--timeout", "300ms"]);
                    case.datagrams
                }
                _ => case.connections,
            };
            let said = run(&mut client);
            let ending = server.stop();
            let report = ending.is_clean();
            let context = format!("{kind} {:?}: {said:#?} {ending:#?}", case.options);
            assert_eq!(!said.text().is_empty(), is_allowed, "{context}");
            assert_eq!(ending.stdout.contains("other"), is_allowed, "{context}");
            assert_eq!(report.refused, u64::from(!is_allowed), "{context}");
            let told = ending
                .stderr
                .lines()
                .any(|line| line.starts_with("sockeye: warning: ") && line.contains("uid 65534"));
            assert_eq!(told, !is_allowed, "{context}");
        }
    }
}

#[test]
fn the_groups_of_a_sender_that_has_ended_are_not_known() {
    if !is_root() {
        return skipped("needs root, to be two users");
    }
    let Some(setpriv) = optional_peer("setpriv") else {
        return;
    };
    let place = Place::new();
    let program = copy_of_sockeye(&place);
    let address = format!("dgram:{}", place.socket().display());
    let mut command = Server::command(&["--mode", "0666", "--allow-group", GROUP]);
    let mut server = Server::started_by(command.arg(&address), place.socket());
    server.process.freeze();
    let groups = format!("--groups={GROUP}");
    let mut client = Command::new(&setpriv);
    client.args(["--reuid=65534", "--regid=65534", &groups]);
    client
        .arg(&program)
        .args(["send", "--timeout", "100ms", &address, "gone"]);
    run(&mut client);
    server.process.thaw();
    let why = "may not call here: its first group is not allowed, and its others are not known: it has ended";
    server.process.stderr.line(why, |line| line.contains(why));
    let ending = server.stop();
    assert!(!ending.stdout.contains("gone"), "{ending:#?}");
    assert_eq!(ending.is_clean().refused, 1);
}

#[test]
fn unknown_names_are_wrong_usage() {
    for (option, value) in [
        ("--allow-user", "no-such-one"),
        ("--allow-group", "no-such-one"),
        ("--allow-group", "4294967295"),
        ("--owner", "root:no-such-one"),
    ] {
        run(Server::command(&[option, value]).arg("/nowhere")).fails(
            2,
            &[
                option,
                value.trim_start_matches("root:"),
                "see sockeye serve --help",
            ],
        );
    }
    for subcommand in ["ls", "why"] {
        let mut command = sockeye();
        command.args([subcommand, "--user", "no-such-one", "/nowhere"]);
        run(&mut command).fails(2, &["--user", "there is no user \"no-such-one\""]);
    }
}
