//! Every cause that `why` knows, built for real.

mod credentials;
mod file;
mod namespace;
mod permission;
mod quoting;
mod server;
mod stopped;
mod unseen;
mod way;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use serde_json::Value;

use crate::support::{
    Place, Process, as_other_user, copy_of_sockeye, is_root, optional_peer, python, run, skipped,
    sockeye,
};

/// What `why` says.
struct Told {
    code: i32,
    json: Value,
    text: String,
}

impl Told {
    /// Runs both ways: for people and for programs.
    #[track_caller]
    fn by(command: impl Fn() -> Command) -> Self {
        let text = run(&mut command());
        let json = run(command().arg("--json"));
        assert_eq!(text.code, json.code, "{text:#?} {json:#?}");
        assert_eq!(text.stderr, "", "a verdict is a result: {text:#?}");
        let told = Self {
            code: text.code.expect("no signal"),
            json: serde_json::from_slice(&json.stdout).expect("one object"),
            text: text.text(),
        };
        assert_eq!(told.json["exit"], told.code, "{}", told.text);
        for line in ["verdict: ", "advice: "] {
            let lines = told.text.lines();
            let count = lines.filter(|text| text.starts_with(line)).count();
            assert_eq!(count, 1, "one {line}in: {}", told.text);
        }
        told
    }

    /// This exit code and cause, and every word in the text.
    #[track_caller]
    fn is(&self, code: i32, cause: &str, words: &[&str]) -> &Self {
        assert_eq!(
            (self.code, self.json["cause"].as_str()),
            (code, Some(cause)),
            "{}",
            self.text
        );
        for word in words {
            assert!(self.text.contains(word), "`{word}` in: {}", self.text);
        }
        self
    }

    /// The statuses of the steps that looked at this.
    fn steps(&self, check: &str) -> Vec<&str> {
        let steps = self.json["steps"].as_array().expect("an array");
        let of_it = steps.iter().filter(|step| step["check"] == check);
        of_it
            .map(|step| step["status"].as_str().expect("a word"))
            .collect()
    }
}

#[track_caller]
fn why(address: impl AsRef<OsStr>, options: &[&str]) -> Told {
    Told::by(|| {
        let mut command = sockeye();
        command.arg("why").args(options).arg(address.as_ref());
        command
    })
}

/// A place that everybody may look into, with a listener of this process.
fn listening() -> (Place, UnixListener) {
    let place = Place::new();
    place.set_mode(0o755);
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    (place, listener)
}

/// Somebody without privileges: another user where the tests run as root.
struct Nobody {
    copy: PathBuf,
    _tools: Place,
}

impl Nobody {
    /// `None` where there is nobody else.
    fn new() -> Option<Self> {
        let tools = Place::new();
        let copy = copy_of_sockeye(&tools);
        as_other_user(copy.as_os_str()).map(|_| Self {
            copy,
            _tools: tools,
        })
    }

    #[track_caller]
    fn why(&self, address: impl AsRef<OsStr>, options: &[&str]) -> Told {
        Told::by(|| {
            let mut command = as_other_user(self.copy.as_os_str()).expect("as before");
            command.arg("why").args(options).arg(address.as_ref());
            command
        })
    }
}

fn kind(kind: &str, path: &Path) -> OsString {
    let mut address = OsString::from(kind);
    address.push(path);
    address
}

fn own_pid() -> String {
    format!("pid {} (", std::process::id())
}

fn unconnected(kind: SocketType, path: &Path) -> OwnedFd {
    // Children of other tests must not inherit it.
    let fd = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(path).expect("short")).expect("a fresh path");
    fd
}

/// Listens on a path, in a root directory of its own if told so, or on an abstract name (@...), and
/// says so.
const LISTENER: &str = "
import os, socket, sys
name = sys.argv[1]
for root in sys.argv[2:]: os.chroot(root)
s = socket.socket(socket.AF_UNIX)
s.bind('\\0' + name[1:] if name.startswith('@') else name)
s.listen(5)
print('up')
sys.stdin.read()
";

/// A server behind `unshare FLAGS sh -c PRELUDE`; `None` where that is not possible.
fn foreign(flags: &[&str], prelude: &str, name: &OsStr) -> Option<Process> {
    if !is_root() {
        skipped("not root");
        return None;
    }
    let (unshare, python) = (optional_peer("unshare")?, python(LISTENER)?);
    let mut command = Command::new(unshare);
    command
        .args(flags)
        .args(["sh", "-ec", &format!("{prelude}exec \"$0\" \"$@\"")])
        .arg(python.get_program())
        .args(python.get_args())
        .arg(name);
    let server = Process::spawn_piped(&mut command);
    server.stdout.first_lines(1);
    Some(server)
}
