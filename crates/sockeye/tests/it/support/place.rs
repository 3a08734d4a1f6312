//! Private directories and what stands in them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sockeye::{Address, Kind, Name};
use tempfile::TempDir;

/// A fresh directory, removed with all that is in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("sk").tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir().join(name)
    }

    /// The usual path for a socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.at("app.sock")
    }

    /// The lock file that belongs to it.
    pub(crate) fn lock(&self) -> PathBuf {
        self.at("app.sock.lock")
    }

    pub(crate) fn address(&self) -> Address {
        Address::from_path(self.socket()).unwrap()
    }

    pub(crate) fn address_of(&self, kind: Kind) -> Address {
        Address::new(kind, &Name::Path(self.socket())).unwrap()
    }

    /// An abstract name that nobody else has, since nobody else has the directory.
    pub(crate) fn abstract_address(&self, kind: Kind) -> Address {
        let name = self.socket().into_os_string().into_encoded_bytes();
        Address::new(kind, &Name::Abstract(name)).unwrap()
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(self.dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    }

    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.names(), Vec::<OsString>::new());
    }

    /// Any user may enter it.
    pub(crate) fn open_to_all(&self) {
        set_mode(self.dir(), 0o755);
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Which file it is, and that nobody has touched it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    changed: (i64, i64),
}

/// What stands at `path` itself; `None` for nothing.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Identity {
        device: found.dev(),
        inode: found.ino(),
        mode: found.mode(),
        owner: (found.uid(), found.gid()),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// The permission bits, those above 0777 included.
pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}
