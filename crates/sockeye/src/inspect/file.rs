//! Socket files: which one a socket was bound to, and whether it is still there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Stat, major, makedev, minor, stat, statfs};
use rustix::io::Errno;

use super::diag::{DiagEntry, FileId};
use super::mounts::{Mounts, has_subvolumes, hides_its_device};
use super::renamed::Search;
use super::socket::{FileState, Holder, SocketFile};

/// Whether the kernel says that `entry` is bound to this file.
pub(crate) fn is_bound_to(entry: &DiagEntry, file: impl AsFd, stat: &Stat, base: &OsStr) -> bool {
    let Some(bound) = entry.file else {
        return false;
    };
    if bound.inode != stat.st_ino as u32 || bound.is(stat) {
        return bound.is(stat);
    }
    let magic = rustix::fs::fstatfs(&file).map_or(0, |found| found.f_type as u32);
    hides_its_device(magic)
        && match Mounts::default().device_at(file, Path::new("")) {
            // Subvolumes of one file system can have files with the same number.
            Some(device) if has_subvolumes(magic) => device == bound.device && entry.is_named(base),
            Some(device) => device == bound.device,
            None => entry.is_named(base),
        }
}

impl FileId {
    /// The file with this inode number on this device, as stat(2) shows both.
    pub(super) fn new(inode: u64, device: u64) -> Self {
        Self {
            inode: inode as u32,
            device: (major(device) << 20) | minor(device),
        }
    }

    pub(crate) fn is(self, stat: &Stat) -> bool {
        self == Self::new(stat.st_ino, stat.st_dev)
    }

    /// As [`Self::is`], for a file of that path, on a file system whose own device stat(2) may not
    /// show.
    pub(crate) fn is_at(self, path: &Path, stat: &Stat, mounts: &Mounts) -> bool {
        self.is(stat)
            || self.inode == stat.st_ino as u32
                && statfs(path).is_ok_and(|found| hides_its_device(found.f_type as u32))
                && mounts
                    .device_at(CWD, path)
                    .is_none_or(|device| device == self.device)
    }
}

/// Looks files up by the names that sockets were bound to, each name once.
#[derive(Default)]
pub(super) struct Files {
    seen: HashMap<PathBuf, Result<Stat, Errno>>,
    pub(super) mounts: Mounts,
    pub(super) search: Search,
}

impl Files {
    pub(super) fn stat(&mut self, path: &Path) -> Result<Stat, Errno> {
        if let Some(found) = self.seen.get(path) {
            return *found;
        }
        let found = stat(path);
        self.seen.insert(path.to_owned(), found);
        found
    }

    pub(super) fn is_at(&mut self, path: &Path, id: FileId) -> bool {
        self.stat(path)
            .is_ok_and(|stat| id.is_at(path, &stat, &self.mounts))
    }

    /// The file of a socket, looked for at the name that was bound, and nowhere else.
    pub(super) fn place_at(
        &mut self,
        name: &[u8],
        id: FileId,
        holders: Option<&[Holder]>,
    ) -> SocketFile {
        let path = Path::new(OsStr::from_bytes(name));
        let unplaced = |state| SocketFile {
            state,
            ..unplaced(id)
        };
        let held = holders.unwrap_or_default();
        if path.is_relative() {
            // Whoever bound it may have changed its directory since, so only a hit tells anything.
            let found = held.iter().find_map(|holder| {
                let path = through(holder, "cwd").join(path);
                self.stat(&path)
                    .ok()
                    .filter(|stat| id.is_at(&path, stat, &self.mounts))
            });
            return found.map_or_else(|| unplaced(None), |stat| present(&stat));
        }
        let ours = self.stat(path);
        if let Ok(stat) = &ours
            && id.is_at(path, stat, &self.mounts)
        {
            return present(stat);
        }
        // Not here; but the socket may live in another mount namespace, where the path leads
        // elsewhere.
        let (path, found) = match (held.first(), holders) {
            (Some(holder), _) => {
                let mut theirs = through(holder, "root").into_os_string();
                theirs.push(path);
                let theirs = PathBuf::from(theirs);
                let found = self.stat(&theirs);
                (theirs, found)
            }
            (None, Some(_)) => (path.to_owned(), ours),
            (None, None) => return unplaced(None),
        };
        let placed = match found {
            Ok(stat) if id.is_at(&path, &stat, &self.mounts) => {
                return SocketFile {
                    elsewhere: true,
                    ..present(&stat)
                };
            }
            Ok(_) => unplaced(Some(FileState::Replaced)),
            Err(Errno::NOENT | Errno::NOTDIR) => unplaced(Some(FileState::Removed)),
            Err(_) => unplaced(None),
        };
        SocketFile {
            elsewhere: self.is_elsewhere(name, &path),
            ..placed
        }
    }

    /// Whether these two paths are in different directories.
    fn is_elsewhere(&mut self, name: &[u8], theirs: &Path) -> bool {
        let ours = Path::new(OsStr::from_bytes(name));
        let (Some(ours), Some(theirs)) = (ours.parent(), theirs.parent()) else {
            return false;
        };
        self.are_different(ours, theirs)
    }

    pub(super) fn are_different(&mut self, ours: &Path, theirs: &Path) -> bool {
        let id = |found: Result<Stat, Errno>| found.ok().map(|stat| (stat.st_dev, stat.st_ino));
        id(self.stat(theirs)).is_some_and(|theirs| id(self.stat(ours)) != Some(theirs))
    }
}

/// A file that was found.
pub(super) fn present(stat: &Stat) -> SocketFile {
    SocketFile {
        device: stat.st_dev,
        inode: stat.st_ino,
        state: Some(FileState::Present),
        elsewhere: false,
    }
}

/// A file that was not looked at.
pub(super) fn unplaced(id: FileId) -> SocketFile {
    SocketFile {
        device: makedev(id.device >> 20, id.device & 0xf_ffff),
        inode: u64::from(id.inode),
        state: None,
        elsewhere: false,
    }
}

pub(super) fn through(holder: &Holder, link: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{link}", holder.process.pid))
}

/// Where a path leads: as [`absolute`], and the symbolic links that its last name leads to are
/// followed, so that the target of one that leads to nothing is known.
pub(super) fn destination(path: &Path) -> Option<PathBuf> {
    const MOST_LINKS: usize = 40; // MAXSYMLINKS of linux/namei.h
    let mut path = absolute(path)?;
    for _ in 0..=MOST_LINKS {
        let Ok(target) = std::fs::read_link(&path) else {
            return Some(path);
        };
        path = absolute(&path.parent()?.join(target))?;
    }
    None
}

/// The absolute path of a file, through the real path of its directory; the file itself is not
/// followed and need not exist.
pub(super) fn absolute(path: &Path) -> Option<PathBuf> {
    let base = path.file_name()?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Some(std::fs::canonicalize(parent).ok()?.join(base))
}
