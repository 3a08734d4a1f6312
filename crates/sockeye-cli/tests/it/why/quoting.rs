//! Names that others chose, in what is to be read and in what is to be pasted.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::why;
use crate::support::{Place, eventually, run, set_mode, sockeye};

/// Runs a piece of an advice in a shell where the tools that it names only say what they were given.
fn pasted(place: &Place, command: &str) -> String {
    let tools = ["chgrp", "chmod", "setfacl", "sockeye"];
    let tools: String = tools
        .map(|tool| format!("{tool}() {{ printf '<%s>' {tool} \"$@\"; }}; "))
        .concat();
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(tools + command)
        .current_dir(place.dir());
    let done = run(&mut shell);
    assert_eq!(done.code, Some(0), "{command}: {done:#?}");
    done.text()
}

/// The directory of each of these was made to run a command, or to break one.
#[test]
fn advice_that_is_pasted_runs_nothing_of_a_name() {
    for name in [
        "x;echo >pwned;",
        "$(echo >pwned)",
        "it's `echo >pwned`",
        "a b",
    ] {
        let place = Place::new();
        place.set_mode(0o755);
        let dir = place.at(name);
        fs::create_dir(&dir).expect("a fresh name");
        set_mode(&dir, 0o755);
        let path = dir.join("s");
        let listener = UnixListener::bind(&path).expect("a fresh path");
        let shown = path.to_str().expect("text");

        set_mode(&path, 0o600);
        let told = why(&path, &["--user", "65534"]);
        let advice = told.json["advice"].as_str().expect("a text");
        let command = advice.split("for now: ").nth(1).expect("a command");
        let read = pasted(&place, command);
        assert!(read.ends_with(&format!("<chmod><660><{shown}>")), "{read}");
        assert_eq!(read.matches(shown).count(), 2, "{read}");

        drop(listener);
        fs::remove_file(&path).expect("as before");
        // A child of another test may have the listener until it executes.
        let hint = eventually("ls finds nothing", || {
            let missed = run(sockeye().arg("ls").arg(&path));
            let (_, hint) = missed.stderr.rsplit_once("; sockeye ")?;
            Some(hint.to_owned())
        });
        let hint = hint.trim_end().trim_end_matches(" says more");
        let read = pasted(&place, &format!("sockeye {hint}"));
        assert_eq!(read, format!("<sockeye><why><{shown}>"));
        assert!(!place.at("pwned").exists() && !dir.join("pwned").exists());
    }
}

#[test]
fn a_name_forges_no_step() {
    let place = Place::new();
    place.set_mode(0o755);
    let dir = place.at("a may be searched (mode 0777, root:root)");
    fs::create_dir(&dir).expect("a fresh name");
    set_mode(&dir, 0o700);
    let path = dir.join("s");
    let _listener = UnixListener::bind(&path).expect("a fresh path");
    let told = why(&path, &["--user", "65534"]);
    let in_quotes = format!("\"{}\" may not be searched by", dir.display());
    told.is(5, "directory", &[&in_quotes]);
    let verdict = told.json["verdict"].as_str().expect("a text");
    assert!(
        verdict.contains(&format!("\"{}\"", dir.display())),
        "{verdict}"
    );

    let missing = dir.join("b; nothing is in the way");
    let quoted = format!("\"{}\"", missing.display());
    why(&missing, &[]).is(
        3,
        "missing",
        &[&format!("the file {quoted} does not exist")],
    );
    let sent = run(sockeye().arg("send").arg(&missing).arg("x"));
    sent.fails(3, &[&format!("cannot connect to {quoted}: ")]);
    let parent = missing.join("app.sock");
    let served = run(sockeye().arg("serve").arg(&parent));
    served.fails(3, &[&format!("the directory {quoted} does not exist; ")]);
}
