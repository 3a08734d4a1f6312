//! What `ls`, `ss` and `lsof` show of the same sockets.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use sockeye::Peer;

use super::readme_has;
use crate::support::{
    Place, Process, Server, eventually, in_another_network, require_peer, run, sockeye,
};

fn are_there() -> bool {
    ["ss", "lsof"]
        .into_iter()
        .filter(|tool| require_peer(tool).is_none())
        .count()
        == 0
}

fn shown(command: &mut Command, path: &Path) -> String {
    run(command.arg(path)).text()
}

fn ls(path: &Path) -> String {
    shown(sockeye().args(["ls", "--json"]), path)
}

fn ss(path: &Path) -> String {
    shown(Command::new("ss").args(["-xapH", "src"]), path)
}

fn lsof(option: &[&str], path: &Path) -> String {
    shown(Command::new("lsof").args(option), path)
}

/// A listener of this process with a connection that it has accepted, and two that wait.
struct Crowd {
    place: Place,
    _listener: UnixListener,
    accepted: UnixStream,
    clients: Vec<Process>,
}

impl Crowd {
    fn new() -> Self {
        let place = Place::new();
        let path = place.socket();
        let listener = UnixListener::bind(&path).expect("a free path");
        let connect = || Process::spawn_piped(sockeye().arg("connect").arg(&path));
        let clients: Vec<_> = (0..3).map(|_| connect()).collect();
        let (accepted, _) = listener.accept().expect("a client");
        eventually("two wait in the backlog", || {
            (ls(&path).matches(r#""state":"pending""#).count() == 2).then_some(())
        });
        Self {
            place,
            _listener: listener,
            accepted,
            clients,
        }
    }

    /// The process at the other end of the accepted connection.
    fn connected(&self) -> u32 {
        let peer = Peer::of(&self.accepted).expect("a connected peer");
        let pid = peer.pid().expect("a process of our namespace");
        pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The processes that wait.
    fn waiting(&self) -> impl Iterator<Item = u32> {
        let connected = self.connected();
        let pids = self.clients.iter().map(Process::id);
        pids.filter(move |&pid| pid != connected)
    }
}

/// The inode number that ss shows as the peer of the established connection.
fn peer_inode(ss: &str) -> Option<&str> {
    let line = ss.lines().find(|line| line.contains(" ESTAB "))?;
    line.split_whitespace().nth(7)
}

#[test]
fn neighbours_show_the_other_end_as_the_readme_says() {
    if !are_there() {
        return;
    }
    let crowd = Crowd::new();
    let (path, client) = (crowd.place.socket(), crowd.connected());
    let of_ls = if ls(&path).contains(&format!(r#""pid":{client},"#)) {
        "yes"
    } else {
        "no"
    };
    let (from_ss, pid) = (ss(&path), format!("pid={client},"));
    let of_ss = match peer_inode(&from_ss) {
        _ if from_ss.contains(&pid) => "yes",
        // That is what leads on to the row of the client.
        Some(inode)
            if run(Command::new("ss").arg("-xapH"))
                .text()
                .lines()
                .any(|line| line.contains(&format!(" {inode} ")) && line.contains(&pid)) =>
        {
            "inode number"
        }
        _ => "no",
    };
    let process = format!(" {client},sockeye,");
    let of_lsof = if lsof(&[], &path).contains(&process) {
        "yes"
    } else if lsof(&["+E"], &path).contains(&process) {
        "with `+E`"
    } else {
        "no"
    };
    readme_has(&format!(
        "| the process at the other end of a connection | {of_ls} | {of_ss} | {of_lsof} |"
    ));
}

#[test]
fn neighbours_show_clients_in_the_backlog_as_the_readme_says() {
    if !are_there() {
        return;
    }
    let crowd = Crowd::new();
    let path = crowd.place.socket();
    let listed = ls(&path);
    let has_row = |pid| {
        listed.lines().any(|line| {
            line.contains(r#""state":"pending""#) && line.contains(&format!(r#""pid":{pid},"#))
        })
    };
    let of_ls = if crowd.waiting().all(has_row) {
        "a row for each"
    } else {
        "no"
    };
    let from_ss = ss(&path);
    let listening = from_ss
        .lines()
        .find(|line| line.contains(" LISTEN "))
        .expect("the listener");
    let of_ss = if crowd
        .waiting()
        .any(|pid| from_ss.contains(&format!("pid={pid},")))
    {
        "their processes"
    } else if listening.split_whitespace().nth(2) == Some("2") {
        "their number"
    } else {
        "no"
    };
    let named = |option: &[&str]| {
        let text = lsof(option, &path);
        let listening: String = text
            .lines()
            .filter(|line| line.ends_with("(LISTEN)"))
            .collect();
        let is_named = |pid: &u32| listening.contains(&format!(" {pid},sockeye,"));
        crowd.waiting().filter(is_named).count()
    };
    let of_lsof = match (named(&[]), named(&["+E"])) {
        (0, 0) => "no",
        (0, 1) => "one of them, with `+E`",
        _ => "their processes",
    };
    readme_has(&format!(
        "| clients that wait in the backlog | {of_ls} | {of_ss} | {of_lsof} |"
    ));
}

#[test]
fn neighbours_find_a_path_as_the_readme_says() {
    if !are_there() {
        return;
    }
    let place = Place::new();
    let (bound, renamed, link) = (place.at("a"), place.at("b"), place.at("link"));
    let _listener = UnixListener::bind(&bound).expect("a free path");
    let name = bound.to_str().expect("a plain path").to_owned();
    for (tool, found) in [("ss", ss(&bound)), ("lsof", lsof(&[], &bound))] {
        assert!(
            found.contains(&name),
            "{tool} finds the path itself: {found}"
        );
    }
    let here = |command: &mut Command, path: &Path| {
        let found = shown(command.current_dir(place.dir()), path);
        found.contains(&name)
    };
    let row = |what: &str, path: &Path, in_ls: &str| {
        let of_ls = shown(
            sockeye().args(["ls", "--json"]).current_dir(place.dir()),
            path,
        )
        .contains(in_ls);
        let of_ss = here(Command::new("ss").args(["-xapH", "src"]), path);
        let of_lsof = here(&mut Command::new("lsof"), path);
        let cell = |is_found| if is_found { "found" } else { "not found" };
        let cells = [of_ls, of_ss, of_lsof].map(cell).join(" | ");
        readme_has(&format!("| {what} | {cells} |"));
    };
    row("a relative path", Path::new("a"), &name);
    symlink(&bound, &link).expect("our own directory");
    row("a symbolic link to the socket", &link, &name);
    fs::rename(&bound, &renamed).expect("our own directory");
    let name = renamed.to_str().expect("a plain path");
    row("a socket file that was renamed", &renamed, name);
}

#[test]
fn neighbours_see_other_network_namespaces_as_the_readme_says() {
    if !are_there() {
        return;
    }
    let place = Place::new();
    let path = place.socket();
    let name = path.to_str().expect("a plain path");
    let Some(mut command) = in_another_network(&["serve", name]) else {
        return;
    };
    let _server = Server::started_by(&mut command, &path);
    let all = |command: &mut Command| run(command).text().contains(name);
    let seen = [
        all(sockeye().args(["ls", "--json"])),
        all(Command::new("ss").arg("-xap")),
        all(Command::new("lsof").arg("-U")),
    ];
    let cells = seen
        .map(|is_seen| if is_seen { "yes" } else { "no" })
        .join(" | ");
    readme_has(&format!(
        "| sockets of other network namespaces | {cells} |"
    ));
}
