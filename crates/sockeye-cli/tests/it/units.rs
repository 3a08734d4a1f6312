//! The unit files in `packaging/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Finished, Place, require_peer, run, sockeye};

const COMMAND: &str = "/usr/bin/sockeye";

/// Each unit file with its text, for the command under test.
fn units() -> Vec<(PathBuf, String)> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let found = fs::read_dir(packaging).expect("the directory").map(|unit| {
        let path = unit.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        (path, text.replace(COMMAND, env!("CARGO_BIN_EXE_sockeye")))
    });
    found.collect()
}

/// `systemd-analyze verify` of the unit files with `change` made to each.
#[track_caller]
fn verify(change: impl Fn(String) -> String) -> Option<Finished> {
    let place = Place::new();
    let mut command = Command::new(require_peer("systemd-analyze")?);
    command.args(["verify", "--man=no"]);
    for (path, text) in units() {
        let copy = place.at(path.file_name().expect("a file"));
        fs::write(&copy, change(text)).expect("our own place");
        command.arg(copy);
    }
    Some(run(&mut command))
}

#[test]
fn systemd_accepts_the_units() {
    let Some(verified) = verify(|text| text) else {
        return;
    };
    verified.succeeds();
    let misspelt = verify(|text| text.replace("NoNewPrivileges", "NoNewPrivilege"));
    let misspelt = misspelt.expect("as before");
    assert!(misspelt.stderr.contains("NoNewPrivilege"), "{misspelt:#?}");
}

#[test]
fn the_units_start_the_command_as_it_is() {
    let mut commands = 0;
    for (path, text) in units() {
        for line in text.lines() {
            let Some(line) = line.strip_prefix("ExecStart=") else {
                continue;
            };
            // A directory that is not there: the arguments are parsed, and nothing is served.
            let line = line.replace("%t", "/nonexistent");
            let said = run(sockeye().args(line.split(' ').skip(1)));
            assert_eq!(said.code, Some(3), "{}: {said:#?}", path.display());
            commands += 1;
        }
    }
    assert_eq!(commands, 2);
}
