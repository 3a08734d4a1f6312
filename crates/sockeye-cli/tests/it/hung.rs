//! A file system that hangs holds nothing up: a FUSE whose server has read the request and does not
//! answer, which no signal gets anybody out of.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Finished, Place, Process, Server, is_root, optional_peer, require_peer, run, skipped, sockeye,
    stale_socket,
};

/// Serves a directory by FUSE until there is a file of the name that is the second argument; then
/// it answers nothing any more. Listens on a socket there, as a client of its own file system.
const SERVER: &str = r"
import ctypes, errno, os, signal, socket, sys, time
try: from fusepy import FUSE, Operations, FuseOSError
except ImportError: from fuse import FUSE, Operations, FuseOSError
mount, flag = sys.argv[1:3]
class Hung(Operations):
    nodes = {}
    def getattr(self, path, fh=None):
        while os.path.exists(flag): signal.pause()
        if path == '/': return dict(st_mode=0o40755, st_nlink=2)
        if path not in self.nodes: raise FuseOSError(errno.ENOENT)
        return dict(st_mode=self.nodes[path], st_nlink=1)
    def readdir(self, path, fh):
        while os.path.exists(flag): signal.pause()
        return ['.', '..'] + [path[1:] for path in self.nodes]
    def mknod(self, path, mode, dev): self.nodes[path] = mode
    def chmod(self, path, mode): pass
    def chown(self, path, uid, gid): pass
parent = os.getpid()
if not os.fork():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent: sys.exit()
    FUSE(Hung(), mount, foreground=True, nothreads=True, attr_timeout=0, entry_timeout=0)
    os._exit(1)
while ' %s fuse' % mount not in open('/proc/mounts').read(): time.sleep(0.01)
s = socket.socket(socket.AF_UNIX)
s.bind(mount + '/hung.sock')
s.listen(5)
open(flag, 'w')
print('hangs')
sys.stdin.read()
";

/// The mount, in a mount namespace of its own.
struct Hung {
    place: Place,
    server: Process,
    nsenter: PathBuf,
}

impl Hung {
    /// `None` where there is no FUSE.
    fn start() -> Option<Self> {
        if !is_root() || fs::metadata("/dev/fuse").is_err() {
            skipped("not root, or no /dev/fuse");
            return None;
        }
        let import = ["-c", "try: import fusepy\nexcept ImportError: import fuse"];
        if run(Command::new("/usr/bin/python3").args(import)).code != Some(0) {
            // It is not in PATH either way, so this says that it is missing.
            require_peer("python3-fusepy")?;
        }
        let (unshare, nsenter) = (optional_peer("unshare")?, optional_peer("nsenter")?);
        let place = Place::new();
        fs::create_dir(place.at("mount")).expect("our own place");
        let mut command = Command::new(unshare);
        command
            .args([
                "-m",
                "--propagation",
                "private",
                "/usr/bin/python3",
                "-uc",
                SERVER,
            ])
            .arg(place.at("mount"))
            .arg(place.at("flag"));
        let server = Process::spawn_piped(&mut command);
        server.stdout.line("`hangs`", |line| line == "hangs");
        Some(Self {
            place,
            server,
            nsenter,
        })
    }

    fn socket(&self) -> PathBuf {
        self.place.at("mount/hung.sock")
    }

    /// Runs the command where the mount is seen.
    fn sockeye(&self, options: &str, last: impl AsRef<OsStr>) -> Finished {
        run(&mut self.command(options, last))
    }

    fn command(&self, options: &str, last: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.nsenter);
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.server.id()))
            .arg(sockeye().get_program())
            .args(options.split_whitespace())
            .arg(last);
        command
    }
}

#[test]
fn ls_tells_what_it_could_not_look_at() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let (path, pid) = (hung.socket(), hung.server.id().to_string());
    let shown = path.to_str().expect("plain").to_owned();
    let mount = hung.place.at("mount");
    let asked: [(&str, &OsStr); 4] = [
        ("", "ls".as_ref()),
        ("ls", "-a".as_ref()),
        ("ls", path.as_ref()),
        ("ls --pid", pid.as_ref()),
    ];
    for (options, last) in asked {
        let told = hung.sockeye(options, last);
        assert_eq!(told.code, Some(7), "{options}: {told:#?}");
        let row = format!("{shown} (?)");
        assert!(told.text().contains(&row), "{options}: {told:#?}");
        told.explains(&[&shown, "does not answer", "(fuse", "umount -l"]);
    }
    let told = hung.sockeye("ls --stale --in", &mount);
    told.fails(7, &[mount.to_str().expect("plain"), "does not answer"]);
}

#[test]
fn what_is_not_asked_for_is_not_waited_for() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let other = Server::start(hung.place.at("app.sock"), &[]);
    let pid = other.process.id().to_string();
    let path = other.path.as_os_str();
    for options in ["ls", "why", "why --connect"] {
        hung.sockeye(options, path).succeeds();
    }
    hung.sockeye("ls --pid", pid).succeeds();
}

#[test]
fn why_names_the_file_system_and_does_not_connect() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let path = hung.socket();
    let told = hung.sockeye("why --connect --json", &path);
    assert_eq!(told.code, Some(7), "{told:#?}");
    let json: Value = serde_json::from_slice(&told.stdout).expect("one object");
    assert_eq!(json["cause"], "hung", "{json:#}");
    let pid = hung.server.id();
    assert_eq!(json["listener"]["holders"][0]["pid"], pid, "{json:#}");
    let steps = json["steps"].as_array().expect("an array");
    let status = |check: &str| {
        let mut steps = steps.iter().filter(|step| step["check"] == check);
        steps.next_back().map(|step| step["status"].clone())
    };
    // The steps up to the mount are listed.
    assert_eq!(status("directory"), Some("ok".into()), "{json:#}");
    assert_eq!(status("file"), Some("unknown".into()), "{json:#}");
    assert_eq!(status("connect"), Some("note".into()), "{json:#}");
}

#[test]
fn send_and_connect_give_up_in_time() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let path = hung.socket();
    let server = Server::start(hung.place.at("app.sock"), &[]);
    let app = server.path.to_str().expect("plain");
    let shown = path.to_str().expect("plain");
    for (options, last) in [
        ("send -w 1 --".to_owned(), shown),
        ("send -t 1s --".to_owned(), shown),
        ("connect -w 300ms".to_owned(), shown),
        ("send --wait 1m -w 1s --".to_owned(), shown),
        (format!("send -w 1s {app} hello --fd"), shown),
        (format!("send -w 1s dgram:{app} hello --bind"), shown),
    ] {
        let told = hung.sockeye(&options, last);
        told.fails(6, &[shown, "has not answered for 1s", "(fuse", "umount -l"]);
    }
    // What lies elsewhere is not held up.
    hung.sockeye("send", app).succeeds();
    assert_eq!(
        server.ask("hello\n"),
        format!("{}\n", crate::support::REPLY)
    );
}

/// That file may be the one of the server there, seen a second time.
#[test]
fn a_file_of_the_same_name_elsewhere_is_unclear_and_holds_up_nobody() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let path = hung.place.at("hung.sock");
    stale_socket(&path);
    for (options, code) in [("why", 4), ("why --connect", 4), ("serve", 4), ("send", 3)] {
        let told = hung.sockeye(options, &path);
        assert_eq!(told.code, Some(code), "{options}: {told:#?}");
    }
    let told = hung.sockeye("ls --stale --in", hung.place.dir());
    assert_eq!(told.code, Some(7), "{told:#?}");
}

#[test]
fn a_directory_that_hangs_takes_no_time_of_the_next_ones() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let (healthy, path) = (Place::new(), hung.place.at("mount"));
    stale_socket(&healthy.socket());
    let mount = path.to_str().expect("plain");
    let options = format!("ls --stale --in {mount} --in {mount}/. --in");
    let told = hung.sockeye(&options, healthy.dir());
    assert_eq!(told.code, Some(7), "{told:#?}");
    let file = healthy.socket().display().to_string();
    assert!(told.text().contains(&file), "{told:#?}");
    told.explains(&[mount, "does not answer"]);
    assert!(!told.stderr.contains(&file), "{told:#?}");
}

#[test]
fn serve_says_what_it_waits_for_and_gives_up() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let (old, new) = (hung.socket(), hung.place.at("mount/new.sock"));
    let given_up = |options: &str, path: &Path| {
        let mut server = Process::spawn_piped(&mut hung.command(options, path));
        (path.display().to_string(), move || server.finish())
    };
    for (path, finish) in [
        given_up("serve", &old),
        given_up("serve --takeover", &new),
        given_up("serve --echo", &hung.place.at("mount")),
    ] {
        let (path, mut finish) = (path, finish);
        let told = finish();
        assert_eq!(told.code, Some(6), "{told:#?}");
        for words in [
            format!("waiting for {path}: the file system at "),
            format!("cannot listen on {path}: the file system at "),
            "has not answered for 10s".to_owned(),
            "umount -l".to_owned(),
        ] {
            assert!(told.stderr.contains(&words), "{words}: {told:#?}");
        }
    }
}

#[test]
fn serve_that_waits_for_a_file_system_can_be_ended() {
    let Some(hung) = Hung::start() else {
        return;
    };
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = hung.command("serve", hung.place.at("mount/new.sock"));
        let mut server = Process::spawn_piped(&mut command);
        let waits = |line: &str| line.contains("does not answer");
        server.stderr.line("what it waits for", waits);
        server.signal(signal);
        let ended = server.wait();
        assert_eq!(ended.signal(), Some(signal.as_raw()), "{ended:?}");
    }
}

#[test]
fn bench_gives_up_in_time() {
    let Some(hung) = Hung::start() else {
        return;
    };
    let path = hung.socket();
    let told = hung.sockeye("bench", &path);
    told.fails(
        6,
        &[path.to_str().expect("plain"), "has not answered for 5s"],
    );
}

/// No matter how many hang: they are waited for together, and what is dead beside them is listed.
#[test]
fn three_directories_that_hang_do_not_hide_a_healthy_one() {
    let all: Option<Vec<Hung>> = (0..3).map(|_| Hung::start()).collect();
    let Some(all) = all else { return };
    let healthy = Place::new();
    stale_socket(&healthy.at("dead"));
    // Each is seen in the mount namespace of its own only, so it is reached through that.
    let mounts: Vec<String> = all
        .iter()
        .map(|hung| {
            format!(
                "/proc/{}/root{}",
                hung.server.id(),
                hung.place.at("mount").display()
            )
        })
        .collect();
    let mut command = sockeye();
    command.args(["ls", "--stale"]);
    for mount in &mounts {
        command.args(["--in", mount]);
    }
    let told = run(command.arg("--in").arg(healthy.dir()));
    assert_eq!(told.code, Some(7), "{told:#?}");
    let file = healthy.at("dead").display().to_string();
    assert!(told.text().contains(&file), "{told:#?}");
    let mut words: Vec<&str> = mounts.iter().map(String::as_str).collect();
    words.push("does not answer");
    told.explains(&words);
}

#[test]
fn a_healthy_file_beside_one_that_hangs_is_looked_at() {
    let Some(hung) = Hung::start() else { return };
    let mut healthy = Server::start(hung.place.at("healthy.sock"), &[]);
    let (path, other) = (healthy.path.clone(), hung.socket());
    for order in [[&other, &path], [&path, &other]] {
        let told = run(hung.command("ls", order[0]).arg(order[1]));
        assert_eq!(told.code, Some(7), "{told:#?}");
        assert!(told.text().contains("healthy.sock"), "{told:#?}");
        assert!(!told.text().contains("healthy.sock (?)"), "{told:#?}");
        assert!(!told.stderr.contains("healthy.sock"), "{told:#?}");
        told.explains(&["hung.sock", "does not answer"]);
    }
    healthy.stop().is_clean();
}
