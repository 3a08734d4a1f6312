//! Private directories and what stands in them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A fresh directory, removed with all that is in it.
pub(crate) struct Place {
    dir: TempDir,
    base: &'static str,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with_socket("app.sock")
    }

    /// For a server that other tests cannot see, or whose file system hides the times of its files.
    /// A stale file of the same name may be its own, as far as a claim can tell, so no other test
    /// uses this name.
    pub(crate) fn with_socket(base: &'static str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sk")
            .tempdir()
            .expect("a temporary directory");
        Self { dir, base }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The usual path for a socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.at(self.base)
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn set_mode(&self, mode: u32) {
        set_mode(self.dir(), mode);
    }

    /// Everything in it, to be compared later.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.dir())
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Vec<OsString> {
        let entries = fs::read_dir(self.dir()).expect("a directory");
        // Not what they are: a process may be removing them.
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<OsString> = names.collect();
        names.sort();
        names
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

/// What stands in a directory: each name with what identifies its file, and its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<OsString, Entry>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    dev: u64,
    ino: u64,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    content: Option<Vec<u8>>,
    target: Option<PathBuf>,
}

impl Snapshot {
    fn of(dir: &Path) -> Self {
        let entries = fs::read_dir(dir).expect("a directory").map(|entry| {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("it stays there");
            let path = entry.path();
            let kind = meta.file_type();
            let content = kind.is_file().then(|| fs::read(&path).expect("readable"));
            let target = kind
                .is_symlink()
                .then(|| fs::read_link(&path).expect("readable"));
            let entry_is = Entry {
                dev: meta.dev(),
                ino: meta.ino(),
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                modified: (meta.mtime(), meta.mtime_nsec()),
                content,
                target,
            };
            (entry.file_name(), entry_is)
        });
        Self(entries.collect())
    }
}

/// Leaves a socket file whose server is gone.
pub(crate) fn stale_socket(path: &Path) {
    drop(UnixListener::bind(path).expect("a fresh path"));
}
