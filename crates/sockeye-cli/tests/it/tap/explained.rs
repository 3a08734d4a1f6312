//! What `why`, `ls` and a client say about a path that a tap has displaced.

use rustix::process::{Signal, kill_process};

use super::killed::guardian;
use super::started;
use crate::support::{Finished, Place, Process, Server, run, sockeye};

#[track_caller]
fn asked(subcommand: &str, place: &Place) -> Finished {
    run(sockeye().arg(subcommand).arg(place.socket()))
}

/// What is printed, all of these words in it.
#[track_caller]
fn says(told: &Finished, code: i32, words: &[&str]) {
    assert_eq!(told.code, Some(code), "{told:?}");
    for word in words {
        assert!(told.text().contains(word), "`{word}` in: {}", told.text());
    }
}

/// Kills a tap and its guardian.
fn kill(mut tap: Process) {
    kill_process(guardian(&tap), Signal::KILL).unwrap();
    tap.signal(Signal::KILL);
    tap.wait();
}

#[test]
fn why_names_the_tap_and_explains_the_server_behind_it() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let tap = started(&[], &place.socket());
    let now = place.at(".app.sock.tap").display().to_string();
    let told = asked("why", &place);
    let is_tap = format!("pid {} (sockeye, since", tap.id());
    says(&told, 0, &[&is_tap, "is a tap", &now]);
    let behind = format!("pid {} (sockeye, since", server.process.id());
    says(&told, 0, &[&behind, "a connect would succeed"]);
    assert!(!told.text().contains("older server"), "{told:?}");
    let json = run(sockeye().args(["why", "--json"]).arg(place.socket()));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let holder = &json["listener"]["holders"][0];
    assert_eq!(holder["pid"], server.process.id());
}

#[test]
fn why_reports_the_full_backlog_of_the_server_behind_a_tap() {
    let place = Place::new();
    let listener = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let _tap = started(&[], &place.socket());
    let displaced = place.at(".app.sock.tap");
    let _waiting = [(); 2].map(|()| std::os::unix::net::UnixStream::connect(&displaced).unwrap());
    says(&asked("why", &place), 6, &["2 waiting, limit 1, full"]);
}

#[test]
fn why_says_how_to_restore_the_path_of_a_killed_tap() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    let path = place.socket().display().to_string();
    let now = place.at(".app.sock.tap").display().to_string();
    let pid = format!("pid {} (sockeye", server.process.id());
    let advice = format!("put it back: sockeye tap --restore {path}");
    for is_removed in [false, true] {
        kill(started(&[], &place.socket()));
        if is_removed {
            std::fs::remove_file(place.socket()).unwrap();
        }
        let told = asked("why", &place);
        says(&told, 3, &["a tap was killed", &pid, &now, &advice]);
        let client = run(sockeye().arg("send").arg(place.socket()).arg("x"));
        if !is_removed {
            client.fails(3, &["a tap that was killed", &now, "sockeye tap --restore"]);
        }
        let second = run(Server::command(&[]).arg(place.socket()));
        second.fails(
            4,
            &["since a tap was killed", &now, "sockeye tap --restore"],
        );
        let restored = run(sockeye().args(["tap", "--restore"]).arg(place.socket()));
        assert_eq!(restored.code, Some(0), "{restored:?}");
        says(&asked("why", &place), 0, &[&pid]);
    }
    server.stop();
    assert!(place.names().is_empty());
}

#[test]
fn ls_shows_the_tap_and_the_server_behind_it() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let tap = started(&[], &place.socket());
    let listed = asked("ls", &place);
    listed.succeeds();
    for process in [server.process.id(), tap.id()] {
        let text = listed.text();
        assert!(text.contains(&format!("{process}/sockeye")), "{text}");
    }
}
