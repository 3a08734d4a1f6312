//! ResultSender to datagrams that could not arrive, and that do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{
    Ending, Place, Process, REPLY, Server, bound, copy_of_sockeye, in_another_network,
    in_own_mounts, is_root, mount_tmpfs, optional_peer, run, set_mode, skipped, sockeye,
};

/// A server of another user, at a path that all may reach.
struct Foreign {
    place: Place,
    program: PathBuf,
    server: Server,
}

impl Foreign {
    /// `None`, and says so, where we cannot be several users.
    fn start() -> Option<Self> {
        if !is_root() {
            skipped("needs root, to be several users");
            return None;
        }
        optional_peer("setpriv")?;
        let place = Place::new();
        let program = copy_of_sockeye(&place);
        place.set_mode(0o777);
        let mut command = as_user(1001, &program);
        command.args(["serve", "--mode", "0666", &address(&place)]);
        let server = Server::started_by(&mut command, place.socket());
        Some(Self {
            place,
            program,
            server,
        })
    }
}

fn as_user(uid: u32, program: &PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}"));
    command.arg(format!("--regid={uid}")).arg("--clear-groups");
    command.arg(program);
    command
}

fn address(place: &Place) -> String {
    format!("dgram:{}", place.socket().display())
}

fn send(place: &Place, options: &[&str], message: &str) -> Command {
    let mut command = sockeye();
    command.args(["send", "--timeout", "10s"]).args(options);
    command.args([&address(place), message]);
    command
}

#[test]
fn a_server_of_another_user_answers_at_a_path() {
    let Some(mut foreign) = Foreign::start() else {
        return;
    };
    let client = foreign.place.at("client");
    let bind = ["--bind", client.to_str().expect("plain")];
    for _ in 0..3 {
        let said = run(&mut send(&foreign.place, &bind, "hello"));
        assert_eq!(said.succeeds().text(), format!("{REPLY}\n"));
    }
    let others = ["--bind", "@sockeye-test-answered"];
    run(&mut send(&foreign.place, &others, "hello")).succeeds();
    foreign.server.stop().is_clean();
}

#[test]
fn a_path_that_lets_the_server_answer_lets_no_stranger_in() {
    let Some(mut foreign) = Foreign::start() else {
        return;
    };
    let client = foreign.place.at("client");
    let mut connect = sockeye();
    connect.args(["connect", &address(&foreign.place), "--bind"]);
    let mut connect = Process::spawn_piped(connect.arg(&client));
    let input = connect.stdin.as_mut().expect("piped");
    std::io::Write::write_all(input, b"hello\n").expect("it reads");
    connect.stdout.line("the answer", |line| line == REPLY);
    assert_eq!(fs::metadata(&client).expect("bound").mode() & 0o777, 0o666);
    let mut stranger = as_user(1002, &foreign.program);
    stranger.args([
        "send",
        "--no-answer",
        &format!("dgram:{}", client.display()),
        "me",
    ]);
    let said = run(&mut stranger);
    assert_ne!(said.code, Some(0), "{said:#?}");
    let heard = connect.finish();
    assert_eq!(
        heard.text(),
        format!("{REPLY}\n"),
        "and nothing of the stranger"
    );
    foreign.server.stop().is_clean();
}

#[test]
fn an_answer_that_a_client_does_not_let_in_is_reported_and_counted() {
    let Some(mut foreign) = Foreign::start() else {
        return;
    };
    let path = foreign.place.at("closed");
    let client = bound(&path);
    set_mode(&path, 0o600);
    client
        .send_to(b"hello", foreign.place.socket())
        .expect("it listens");
    let why = "does not let our user write";
    foreign
        .server
        .process
        .stderr
        .line(why, |line| line.contains(why));
    foreign.server.stop().has_dropped(1);
}

#[test]
fn a_directory_that_keeps_an_answer_out_is_named() {
    let Some(mut foreign) = Foreign::start() else {
        return;
    };
    let directory = foreign.place.at("private");
    fs::create_dir(&directory).expect("a fresh name");
    set_mode(&directory, 0o700);
    let bind = directory.join("client");
    let options = [
        "--timeout",
        "300ms",
        "--bind",
        bind.to_str().expect("plain"),
    ];
    let mut send = sockeye();
    send.arg("send").args(options).arg(address(&foreign.place));
    run(send.arg("hello")).fails(6, &[]);
    let ending = foreign.server.stop();
    ending.has_dropped(1);
    let named = format!("the directory {} on the way", directory.display());
    assert_eq!(lines_about(&ending, &named), 1, "{ending:#?}");
}

fn lines_about(ending: &Ending, what: &str) -> usize {
    ending
        .stderr
        .lines()
        .filter(|line| line.contains(what))
        .count()
}

#[test]
fn a_client_in_another_network_namespace_learns_why_no_answer_comes() {
    let place = Place::new();
    let options: [&[&str]; 2] = [&[], &["--echo"]];
    for options in options {
        let mut command = Server::command(options);
        let mut server = Server::started_by(command.arg(address(&place)), place.socket());
        let to = address(&place);
        for _ in 0..2 {
            let send = ["send", "--timeout", "300ms", &to, "hello"];
            let Some(mut send) = in_another_network(&send) else {
                return;
            };
            let words = ["another network namespace", "--bind PATH"];
            run(&mut send).fails(6, &words);
        }
        let client = place.at("client");
        let bind = [
            "send",
            "--bind",
            client.to_str().expect("plain"),
            &to,
            "hello",
        ];
        let said = run(&mut in_another_network(&bind).expect("as before"));
        assert!(!said.succeeds().text().is_empty());
        let ending = server.stop();
        ending.has_dropped(2);
        assert_eq!(
            lines_about(&ending, "in another network namespace"),
            1,
            "{ending:#?}"
        );
    }
}

/// The server may look neither at its namespaces nor at anything else of it.
#[test]
fn a_client_of_another_user_is_told_apart_by_its_network_namespace() {
    let Some(mut foreign) = Foreign::start() else {
        return;
    };
    foreign.server.process.freeze();
    run(&mut send(&foreign.place, &["--no-answer"], "hello")).succeeds();
    foreign.server.process.thaw();
    foreign.server.process.stdout.first_lines(1);
    let to = address(&foreign.place);
    let elsewhere = ["send", "--timeout", "300ms", &to, "hello"];
    let Some(mut elsewhere) = in_another_network(&elsewhere) else {
        return;
    };
    run(&mut elsewhere).fails(6, &["another network namespace"]);
    let ending = foreign.server.stop();
    ending.has_dropped(1);
    assert_eq!(
        lines_about(&ending, "in another network namespace"),
        1,
        "{ending:#?}"
    );
}

#[test]
fn connect_says_that_answers_cannot_come_from_another_network_namespace() {
    let place = Place::new();
    let mut command = Server::command(&[]);
    let mut server = Server::started_by(command.arg(address(&place)), place.socket());
    let Some(mut connect) = in_another_network(&["connect", &address(&place)]) else {
        return;
    };
    let said = crate::support::run_with_input(&mut connect, "hello\n");
    said.fails(
        7,
        &["no answer came", "another network namespace", "--bind PATH"],
    );
    server.stop().has_dropped(1);
}

#[test]
fn a_client_that_does_not_wait_for_its_answer_is_nothing_special() {
    let place = Place::new();
    let mut command = Server::command(&[]);
    let mut server = Server::started_by(command.arg(address(&place)), place.socket());
    server.process.freeze();
    run(&mut send(&place, &["--no-answer"], "hello")).succeeds();
    server.process.thaw();
    server.process.stdout.first_lines(1);
    server.stop().is_clean();
}

#[test]
fn a_client_whose_path_leads_nowhere_here_is_counted_and_its_cause_said_once() {
    let place = Place::new();
    let mut command = Server::command(&[]);
    let mut server = Server::started_by(command.arg(address(&place)), place.socket());
    let clients = ["removed", "replaced"].map(|name| {
        let client = bound(place.at(name));
        fs::remove_file(place.at(name)).expect("bound");
        client
    });
    // A file of that name, and nobody behind it.
    drop(bound(place.at("replaced")));
    for client in [&clients[0], &clients[0], &clients[1]] {
        client.send_to(b"hello", place.socket()).expect("listens");
    }
    server.process.stdout.first_lines(3);
    let ending = server.stop();
    drop(clients);
    ending.has_dropped(3);
    assert_eq!(
        lines_about(&ending, "does not lead there"),
        1,
        "{ending:#?}"
    );
}

#[test]
fn an_answer_to_another_mount_namespace_is_counted() {
    let place = Place::new();
    let mut command = Server::command(&[]);
    let mut server = Server::started_by(command.arg(address(&place)), place.socket());
    fs::create_dir(place.at("hidden")).expect("a fresh name");
    let mut is_mounted = false;
    in_own_mounts(|| {
        let hidden = place.at("hidden");
        mount_tmpfs(&hidden);
        is_mounted = true;
        let bind = hidden.join("me");
        let bind = [
            "--timeout",
            "300ms",
            "--bind",
            bind.to_str().expect("plain"),
        ];
        run(sockeye()
            .arg("send")
            .args(bind)
            .args([&address(&place), "hi"]))
        .fails(6, &[]);
    });
    if !is_mounted {
        return;
    }
    let ending = server.stop();
    ending.has_dropped(1);
    assert_eq!(lines_about(&ending, "mount namespace"), 1, "{ending:#?}");
}
