//! Sockets whose file has another name than the one that was bound.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{json, ls, objects};
use crate::support::{
    Place, Process, Server, as_other_user, copy_of_sockeye, eventually, python, require_peer, run,
    set_mode, sockeye,
};

#[test]
fn haproxy_is_found_at_the_name_that_it_gave_the_file() {
    let Some(haproxy) = require_peer("haproxy") else {
        return;
    };
    let place = Place::new();
    let path = place.socket();
    let configuration = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 20s\n timeout server 1s\n\
         frontend f\n bind unix@{} mode 600\n http-request return status 200\n",
        path.display()
    );
    fs::write(place.at("haproxy.cfg"), configuration).expect("our own place");
    let mut command = Command::new(haproxy);
    command.args(["-db", "-f"]).arg(place.at("haproxy.cfg"));
    let haproxy = Process::spawn(&mut command);
    let client = eventually("haproxy listens", || {
        std::os::unix::net::UnixStream::connect(&path).ok()
    });
    let bound = format!("{}.{}.tmp", path.display(), haproxy.id());
    // Until then a client that nobody has accepted is listed, too, and something is not known.
    let rows = eventually("it accepts", || {
        let listed = run(ls(["--json"]).arg(&path));
        let rows = objects(&listed);
        let states: Vec<&Value> = rows.iter().map(|row| &row["state"]).collect();
        (listed.code == Some(0) && states == ["listening", "connected"]).then_some(rows)
    });
    for row in &rows {
        assert_eq!(row["address"], path.to_str().expect("plain"));
        assert_eq!(row["bound_as"], *bound);
        assert_eq!(row["file"]["state"], "present");
    }
    let shown = format!(
        "{} (bound as app.sock.{}.tmp)",
        path.display(),
        haproxy.id()
    );
    // By its new name, by its old one, and among all.
    for listed in [
        run(&mut ls([&path])),
        run(&mut ls([&bound])),
        run(ls(["--pid"]).arg(haproxy.id().to_string())),
    ] {
        let text = listed.text();
        assert_eq!(text.matches(&*shown).count(), 2, "{text}");
        assert!(!text.contains("removed"), "{text}");
    }
    run(sockeye().arg("why").arg(&path)).succeeds();
    let told = run(sockeye().arg("why").arg(&bound));
    assert_eq!(told.code, Some(3), "{told:#?}");
    let advice = format!("give that path: {}", path.display());
    assert!(told.text().contains(&advice), "{told:#?}");
    drop(client);
}

#[test]
fn a_long_path_is_shown_as_it_was_given_also_after_a_takeover() {
    let place = Place::new();
    let deep = place.at("d".repeat(120));
    fs::create_dir(&deep).expect("our own place");
    for base in ["app.sock".to_owned(), "n".repeat(150)] {
        let path = deep.join(base);
        let mut old = Server::start(&path, &["--takeover"]);
        let is_shown = |server: &Server| {
            let rows = json(["--listening", "--pid", &server.process.id().to_string()]);
            let row = rows
                .iter()
                .find(|row| row["address"] == *path.to_string_lossy());
            assert_eq!(row.expect("shown")["file"]["state"], "present", "{rows:#?}");
            let rows = json([&path]);
            assert_eq!(rows.len(), 1, "{rows:#?}");
        };
        is_shown(&old);
        // Its directory has another number there: that of the old one is taken.
        let taken = "for fd in 3 4 5 6 7 8 9; do eval \"exec $fd</dev/null\"; done";
        let new = Server::start_after(taken, &path, &["--takeover"]);
        old.ending();
        is_shown(&new);
    }
}

/// A server that renames its file, and a command, both of an ordinary user.
struct Ordinary {
    tools: Place,
    place: Place,
}

impl Ordinary {
    fn new() -> Option<Self> {
        let (tools, place) = (Place::new(), Place::new());
        as_other_user(copy_of_sockeye(&tools).as_os_str())?;
        place.set_mode(0o777);
        Some(Self { tools, place })
    }

    /// Binds `a.tmp` with `bind` for its name and then does what `then` says.
    fn server(&self, bind: &Path, then: &str) -> Option<Process> {
        const SCRIPT: &str = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); \
            os.chdir(sys.argv[1]); s.bind(sys.argv[2]); s.listen(); exec(sys.argv[3]); \
            print('ready'); sys.stdin.read()";
        let script = python(SCRIPT)?;
        let mut command = as_other_user(script.get_program())?;
        command
            .args(script.get_args())
            .args([self.place.dir(), bind, Path::new(then)]);
        let server = Process::spawn_piped(&mut command);
        server.stdout.line("it is ready", |line| line == "ready");
        Some(server)
    }

    /// What `ls --pid` says of it.
    fn shown(&self, server: &Process) -> String {
        let mut command = as_other_user(copy(&self.tools).as_os_str()).expect("as before");
        command.args(["ls", "--pid", &server.id().to_string()]);
        run(&mut command).text()
    }
}

fn copy(tools: &Place) -> PathBuf {
    tools.at("sockeye")
}

#[test]
fn an_ordinary_user_sees_renamed_files_too() {
    let Some(ordinary) = Ordinary::new() else {
        return;
    };
    let rename = "os.rename('a.tmp', 'a.sock')";
    let full = ordinary.place.at("a.tmp");
    let new = ordinary.place.at("a.sock");
    for (bind, shown) in [
        (full.as_path(), new.as_path()),
        (Path::new("a.tmp"), Path::new("a.sock")),
        (Path::new("./a.tmp"), Path::new("./a.sock")),
    ] {
        let Some(server) = ordinary.server(bind, rename) else {
            return;
        };
        let text = ordinary.shown(&server);
        let shown = format!("{} (bound as a.tmp)", shown.display());
        assert!(text.contains(&shown), "{text}");
    }
}

#[test]
fn what_cannot_be_looked_for_is_unknown_and_what_is_gone_is_removed() {
    let Some(ordinary) = Ordinary::new() else {
        return;
    };
    let bind = ordinary.place.at("a.tmp");
    // More files than are read.
    let many = "os.remove('a.tmp'); open('0', 'w'); \
        [os.link('0', str(n)) for n in range(1, 20100)]";
    for (mode, then, shown) in [
        (0o777, "os.remove('a.tmp')", "a.tmp (removed)"),
        (0o733, "os.remove('a.tmp')", "a.tmp (?)"),
        (0o777, many, "a.tmp (?)"),
    ] {
        set_mode(ordinary.place.dir(), mode);
        let Some(server) = ordinary.server(&bind, then) else {
            return;
        };
        let text = ordinary.shown(&server);
        assert!(text.contains(shown), "{shown}: {text}");
    }
}
