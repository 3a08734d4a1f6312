//! Socket files: which one a socket was bound to, and whether it is still there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, major, makedev, minor, stat, statfs};
use rustix::io::Errno;

use super::diag::{Entry, FileId};
use super::socket::{FileState, Holder, SocketFile};

/// Whether the kernel says that `entry` is bound to this file. On a file system that shows other
/// devices to stat(2) than its own, the bound name decides beside the inode number.
pub(crate) fn is_bound_to(entry: &Entry, file: impl AsFd, stat: &Stat, base: &OsStr) -> bool {
    let Some(bound) = entry.file else {
        return false;
    };
    if bound.is(stat) {
        return true;
    }
    let base = base.as_encoded_bytes();
    let name = entry.name.as_deref().unwrap_or_default();
    let named_alike = name == base || name.strip_suffix(base).is_some_and(|d| d.ends_with(b"/"));
    bound.inode == stat.st_ino as u32
        && named_alike
        && rustix::fs::fstatfs(file).is_ok_and(|found| hides_its_device(found.f_type as u32))
}

/// Whether stat(2) shows another device than the file system's own.
fn hides_its_device(magic: u32) -> bool {
    // linux/magic.h: BTRFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, BCACHEFS_STATFS_MAGIC
    [0x9123_683e, 0x794c_7630, 0xca45_1a4e].contains(&magic)
}

impl FileId {
    fn is(self, stat: &Stat) -> bool {
        self.inode == stat.st_ino as u32
            && self.device == (major(stat.st_dev) << 20) | minor(stat.st_dev)
    }

    /// As [`Self::is`], for a file of that path.
    pub(super) fn is_at(self, path: &Path, stat: &Stat) -> bool {
        self.is(stat)
            || (self.inode == stat.st_ino as u32
                && statfs(path).is_ok_and(|found| hides_its_device(found.f_type as u32)))
    }
}

/// Looks files up by the names that sockets were bound to, each name once.
#[derive(Default)]
pub(super) struct Files {
    seen: HashMap<PathBuf, Result<Stat, Errno>>,
}

impl Files {
    fn stat(&mut self, path: &Path) -> Result<Stat, Errno> {
        if let Some(found) = self.seen.get(path) {
            return *found;
        }
        let found = stat(path);
        self.seen.insert(path.to_owned(), found);
        found
    }

    /// The file of a socket that was bound to `name`.
    pub(super) fn place(
        &mut self,
        name: &[u8],
        id: FileId,
        holders: Option<&[Holder]>,
    ) -> SocketFile {
        let path = Path::new(OsStr::from_bytes(name));
        let unplaced = |state| SocketFile {
            device: makedev(id.device >> 20, id.device & 0xf_ffff),
            inode: u64::from(id.inode),
            state,
            elsewhere: false,
        };
        let present = |stat: &Stat| SocketFile {
            device: stat.st_dev,
            inode: stat.st_ino,
            state: Some(FileState::Present),
            elsewhere: false,
        };
        let held = holders.unwrap_or_default();
        if path.is_relative() {
            // Whoever bound it may have changed its directory since, so only a hit tells anything.
            let found = held.iter().find_map(|holder| {
                let path = through(holder, "cwd").join(path);
                self.stat(&path).ok().filter(|stat| id.is_at(&path, stat))
            });
            return found.map_or_else(|| unplaced(None), |stat| present(&stat));
        }
        let ours = self.stat(path);
        if let Ok(stat) = &ours
            && id.is_at(path, stat)
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
            Ok(stat) if id.is_at(&path, &stat) => {
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
        let id = |found: Result<Stat, Errno>| found.ok().map(|stat| (stat.st_dev, stat.st_ino));
        id(self.stat(theirs)).is_some_and(|theirs| id(self.stat(ours)) != Some(theirs))
    }
}

fn through(holder: &Holder, link: &str) -> PathBuf {
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
