//! The other tools, and the other user.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::{Place, run};

/// Says why a test does nothing. Goes past the capture of the test harness, so that it is seen.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Where `tool` is; says `skipped:` where it is missing, and fails if the peers are required.
#[track_caller]
pub(crate) fn require_peer(tool: &str) -> Option<PathBuf> {
    let found = find(tool);
    assert!(
        found.is_some() || !peers_required(),
        "{tool} is not installed, and SOCKEYE_REQUIRE_PEERS is set"
    );
    if found.is_none() {
        skipped(&format!("{tool} is not installed"));
    }
    found
}

/// Where `tool` is; says `skipped:` where it is missing. For what CI does not install either.
pub(crate) fn optional_peer(tool: &str) -> Option<PathBuf> {
    let found = find(tool);
    if found.is_none() {
        skipped(&format!("{tool} is not installed"));
    }
    found
}

/// `unshare -n sockeye ARGUMENTS`; `None`, and says so, where we may not.
pub(crate) fn in_another_network(arguments: &[&str]) -> Option<Command> {
    let unshare = optional_peer("unshare")?;
    if run(Command::new(&unshare).args(["-n", "true"])).code != Some(0) {
        skipped("unshare -n is not permitted");
        return None;
    }
    let mut command = Command::new(unshare);
    command.arg("-n").arg(env!("CARGO_BIN_EXE_sockeye"));
    command.args(arguments);
    Some(command)
}

fn peers_required() -> bool {
    env::var_os("SOCKEYE_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

fn find(tool: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(tool))
        .find(|path| {
            path.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// `python3 -c SCRIPT`, the interpreter itself rather than a wrapper that is first in PATH.
#[track_caller]
pub(crate) fn python(script: &str) -> Option<Command> {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    let first = require_peer("python3")?;
    let interpreter = INTERPRETER.get_or_init(|| {
        let said = run(Command::new(first).args(["-c", "import sys; print(sys.executable)"]));
        said.text().trim().into()
    });
    let mut command = Command::new(interpreter);
    command.args(["-u", "-c", script]);
    Some(command)
}

/// A python3 that has this module, of a package of the system; as [`require_peer`].
#[track_caller]
pub(crate) fn require_python_module(name: &str) -> Option<PathBuf> {
    let python = PathBuf::from("/usr/bin/python3");
    let import = format!("import {name}");
    let has = python.exists() && run(Command::new(&python).args(["-c", &import])).code == Some(0);
    assert!(
        has || !peers_required(),
        "the python3 module {name} is not installed, and SOCKEYE_REQUIRE_PEERS is set"
    );
    if !has {
        skipped(&format!("the python3 module {name} is not installed"));
    }
    has.then_some(python)
}

/// `strace -D -f -o LOG -e trace=CALLS`, the traced process being the child itself.
#[track_caller]
pub(crate) fn strace(calls: &str, log: &OsStr) -> Option<Vec<String>> {
    let strace = require_peer("strace")?;
    let works = run(Command::new(&strace).args(["-o", "/dev/null", "true"])).code == Some(0);
    assert!(works || !peers_required(), "strace cannot trace here");
    if !works {
        skipped("strace cannot trace here");
        return None;
    }
    let text = |value: &OsStr| value.to_str().expect("a plain path").to_owned();
    Some(vec![
        text(strace.as_os_str()),
        "-D".into(),
        "-f".into(),
        "-ttt".into(),
        "-o".into(),
        text(log),
        "-e".into(),
        format!("trace={calls}"),
    ])
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A copy of the command that every user can reach: the build directory may be private.
pub(crate) fn copy_of_sockeye(place: &Place) -> PathBuf {
    place.set_mode(0o755);
    let copy = place.at("sockeye");
    // By a process of its own: were it written by this one, a fork at the wrong moment would
    // inherit the open descriptor, and the copy could not be executed ("text file busy").
    let copied = run(Command::new("sh")
        .args(["-c", r#"ln "$0" "$1" 2>/dev/null || cp "$0" "$1""#])
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg(&copy));
    assert_eq!(copied.code, Some(0), "{copied:?}");
    copy
}

/// The command as somebody without privileges: as nobody where the tests run as root.
pub(crate) fn as_other_user(program: &OsStr) -> Option<Command> {
    if !is_root() {
        return Some(Command::new(program));
    }
    let mut command = Command::new(optional_peer("setpriv")?);
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program);
    Some(command)
}

/// The other user, in a place where both may make files.
pub(crate) struct OtherUser {
    pub(crate) place: Place,
    copy: PathBuf,
}

impl OtherUser {
    /// `None`, and says so, where the tests may not be somebody else.
    pub(crate) fn new() -> Option<Self> {
        if !is_root() {
            skipped("not root");
            return None;
        }
        let place = Place::new();
        let copy = copy_of_sockeye(&place);
        place.set_mode(0o1777);
        as_other_user(copy.as_os_str())?;
        Some(Self { place, copy })
    }

    /// `sockeye SUBCOMMAND` as that user.
    pub(crate) fn sockeye(&self, subcommand: &str) -> Command {
        let mut command = as_other_user(self.copy.as_os_str()).expect("as before");
        command.arg(subcommand);
        command
    }

    /// `sockeye serve OPTIONS PATH` as that user.
    pub(crate) fn serve(&self, options: &[&str]) -> Command {
        let mut command = self.sockeye("serve");
        command.args(options).arg(self.place.socket());
        command
    }
}
