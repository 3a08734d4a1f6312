//! Connections with the credentials of a client: the target sees them, and no thread keeps them.
//!
//! This is a program of its own since it looks at the ids of all threads and counts open descriptors:
//! its tests run one at a time, and nothing else runs beside them. All of them take root.
#![cfg(feature = "tokio")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a helper of a test fails the test by panicking, and says what it skips; the servers here are foreign ones"
)]

mod aborting;
mod denying;
mod forwarding;
mod privileges;
mod seeing;
mod unmapped;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use sockeye::peer::{self, Peer};
use sockeye::relay::ClientCredentials;
use sockeye::{Address, Kind, Name};

static TURN: Mutex<()> = Mutex::new(());

/// How long anything may take that ought to happen at once. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A user and the groups that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
    groups: &'static [u32],
}

const ALICE: User = User {
    uid: 12_345,
    gid: 12_346,
    groups: &[7, 12_346, 50_000],
};
const BOB: User = User {
    uid: 23_456,
    gid: 100,
    groups: &[],
};
const ROOT: User = User {
    uid: 0,
    gid: 0,
    groups: &[4],
};
const USERS: [User; 3] = [ALICE, BOB, ROOT];

/// Runs `act` while no other test does, and looks that it leaves neither a thread with other ids nor a
/// descriptor behind.
fn alone(act: impl FnOnce()) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can become another user");
    }
    // The first one opens descriptors for signals that the process keeps.
    drop(runtime());
    let before = open();
    act();
    let start = Instant::now();
    while !foreign_threads().is_empty() || sockeye::ancillary::unclosed() > 0 {
        assert!(start.elapsed() < PATIENCE, "left: {:#?}", foreign_threads());
        std::thread::yield_now();
    }
    assert_eq!(open(), before, "descriptors that are open before and after");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// The ids of the threads that differ from those of the first one.
fn foreign_threads() -> Vec<String> {
    let own = ids_in(Path::new("/proc/self/status")).unwrap();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let ids = tasks.filter_map(|task| ids_in(&task.unwrap().path().join("status")));
    ids.filter(|ids| *ids != own).collect()
}

/// `None` where the thread has ended.
fn ids_in(status: &Path) -> Option<String> {
    let text = fs::read_to_string(status).ok()?;
    let is_id = |line: &&str| {
        ["Uid:", "Gid:", "Groups:"]
            .iter()
            .any(|id| line.starts_with(id))
    };
    Some(text.lines().filter(is_id).collect::<Vec<_>>().join("\n"))
}

fn open() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Calls `act` on a thread that ends with it.
fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(act).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

impl User {
    /// Calls `act` as this user.
    fn call<T: Send>(self, act: impl FnOnce() -> T + Send) -> T {
        on_a_thread(move || {
            let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            set_thread_groups(&groups).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            act()
        })
    }

    /// What a relay learns of this user when it connects.
    fn credentials(self) -> ClientCredentials {
        let place = Place::new();
        let listener = place.listener();
        let _client = self.call(|| UnixStream::connect(place.socket()).unwrap());
        let (accepted, _) = listener.accept().unwrap();
        ClientCredentials::of(&accepted).unwrap()
    }

    /// Asserts that the peer of `socket` is this user.
    fn assert_peer(self, socket: impl std::os::fd::AsFd) {
        let seen = (Peer::of(&socket), peer::groups(&socket));
        assert!(self.is_peer_of(&socket), "{seen:?} is not {self:?}");
    }

    /// Whether the kernel shows the ids of this user.
    fn is_peer_of(self, socket: impl std::os::fd::AsFd) -> bool {
        let seen = Peer::of(&socket).unwrap();
        let ids = (Some(self.uid), Some(self.gid));
        (seen.uid(), seen.gid()) == ids && peer::groups(&socket).unwrap() == self.groups
    }
}

/// A fresh directory that everybody may search.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = tempfile::Builder::new().prefix("sk").tempdir().unwrap();
        set_mode(place.path(), 0o755);
        Self(place)
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.at("app.sock")
    }

    fn address(&self) -> Address {
        Address::from_path(self.socket()).unwrap()
    }

    fn address_of(&self, kind: Kind) -> Address {
        Address::new(kind, &Name::Path(self.socket())).unwrap()
    }

    /// A server that everybody may connect to.
    fn listener(&self) -> UnixListener {
        let listener = UnixListener::bind(self.socket()).unwrap();
        set_mode(&self.socket(), 0o666);
        listener
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
