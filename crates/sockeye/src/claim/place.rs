//! [`Place`]: a path's directory, held open, and the name in it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::LOCK_SUFFIX;
use super::error::{ClaimError, ClaimErrorKind};
use super::unreachable_parent::{UnreachableParent, unreachable_parent};
use crate::address::{Address, MAX_NAME};
use crate::inspect::mounts;
use crate::{ids, socket};

const NAME_MAX: usize = 255;

/// Where a socket file lives. All that is done to the file goes through the directory's
/// fd, so that a directory renamed or replaced meanwhile cannot lead us elsewhere.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: OwnedFd,
    /// The directory as it was written.
    pub(crate) parent: PathBuf,
    pub(crate) base: OsString,
    pub(crate) lock_base: OsString,
    /// The name to bind, if one fits into a socket address.
    pub(crate) bindable: Option<PathBuf>,
}

/// Device and inode, which identify a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    #[cfg(feature = "tokio")]
    pub(crate) fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// The two numbers.
impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.device, self.inode)
    }
}

/// Whether an open file belongs to our own user. Where neither id has a mapping in our user namespace
/// the numbers say nothing, but the kernel knows: only the owner may change the mode of such a file.
pub(crate) fn is_own(file: impl AsFd, stat: &Stat) -> bool {
    match (ids::uid(stat.st_uid), ids::own_uid()) {
        (None, None) => {
            let same = Mode::from_raw_mode(stat.st_mode & 0o7777);
            rustix::fs::chmod(socket::path_of(file), same).is_ok()
        }
        (owner, own) => owner == own,
    }
}

impl Place {
    /// The group that the kernel gives to a file that we make here: our own, or that of a directory
    /// with the set-group-ID bit (inode(7)).
    #[cfg(feature = "tokio")]
    pub(crate) fn group_of_new_files(&self) -> Option<u32> {
        let directory = rustix::fs::fstat(&self.directory).ok()?;
        if Mode::from_raw_mode(directory.st_mode).contains(Mode::SGID) {
            ids::gid(directory.st_gid)
        } else {
            ids::gid(rustix::process::getegid().as_raw())
        }
    }

    /// Opens the directory of `path`.
    pub(crate) fn open(address: &Address, path: &Path) -> Result<Self, ClaimError> {
        let base = path.file_name().unwrap_or_default().to_owned();
        name_fits(address, &base, LOCK_SUFFIX.len())?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent, flags, Mode::empty())
            .map_err(|errno| parent_error(address, parent, errno))?;
        let mut lock_base = base.clone();
        lock_base.push(LOCK_SUFFIX);
        Ok(Self {
            bindable: bindable(path, parent, &base),
            parent: parent.to_owned(),
            directory,
            base,
            lock_base,
        })
    }

    /// The file at `base`, without following a symbolic link; `None` where there is none.
    pub(crate) fn look_at(&self, base: &OsStr) -> Result<Option<Stat>, Errno> {
        match statat(&self.directory, base, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the file at `base` as `O_PATH`, without following a symbolic link.
    pub(crate) fn open_file(&self, base: &OsStr) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.directory, base, flags, Mode::empty())
    }

    /// Unlinks `base` if it is still the file that was seen. The lock must be held.
    pub(crate) fn unlink(&self, base: &OsStr, seen: FileIdentity) -> Result<(), Errno> {
        match self.look_at(base)? {
            Some(stat) if FileIdentity::of(&stat) == seen => {
                unlinkat(&self.directory, base, AtFlags::empty())
            }
            _ => Ok(()),
        }
    }

    /// The name to bind for `base` in that directory, if one fits into a socket address.
    pub(crate) fn bindable_as(&self, base: &OsStr) -> Option<PathBuf> {
        let name = self.bindable.as_ref()?.with_file_name(base);
        (name.as_os_str().len() <= MAX_NAME).then_some(name)
    }

    /// A path to `base` that leads through the directory's fd.
    pub(crate) fn through_descriptor(&self, base: &OsStr) -> PathBuf {
        socket::path_of(&self.directory).join(base)
    }

    /// The permission bits and the owner of the directory.
    pub(crate) fn directory_mode(&self) -> Result<(u32, Option<u32>), Errno> {
        let stat = rustix::fs::fstat(&self.directory)?;
        Ok((stat.st_mode & 0o7777, ids::uid(stat.st_uid)))
    }

    pub(crate) fn is_removed(&self) -> bool {
        rustix::fs::fstat(&self.directory).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Whether the path still leads to the directory that was opened; `true` where that is unknown.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_at_path(&self) -> bool {
        match (
            rustix::fs::stat(&self.parent),
            rustix::fs::fstat(&self.directory),
        ) {
            (Ok(now), Ok(opened)) => FileIdentity::of(&now) == FileIdentity::of(&opened),
            (Err(errno), _) => !matches!(errno, Errno::NOENT | Errno::NOTDIR),
            _ => true,
        }
    }

    /// Where the directory is now, if anywhere.
    #[cfg(feature = "tokio")]
    pub(crate) fn path_of_directory(&self) -> Option<PathBuf> {
        let path = std::fs::read_link(socket::path_of(&self.directory)).ok();
        path.filter(|_| !self.is_removed())
    }

    /// Whether this error of bind(2) means that the file system has no sockets. Permissions of the
    /// directory, or a sandbox, would refuse other calls too.
    pub(crate) fn is_without_sockets(&self, errno: Errno) -> bool {
        let may_mean_it = matches!(
            errno,
            Errno::PERM
                | Errno::ACCESS
                | Errno::NOSYS
                | Errno::INVAL
                | Errno::IO
                | Errno::OPNOTSUPP
                | Errno::NXIO
                | Errno::NOTTY
        );
        may_mean_it
            && self.may_be_written()
            && socket::autobound(SocketFlags::empty()).err() != Some(errno)
    }

    /// Whether only the kernel makes files there, whatever the mode.
    fn is_of_the_kernel(&self) -> bool {
        const KINDS: [&str; 8] = [
            "proc",
            "sysfs",
            "devpts",
            "cgroup",
            "cgroup2",
            "debugfs",
            "tracefs",
            "securityfs",
        ];
        let found = mounts::file_system_of(&self.directory);
        found.is_some_and(|kind| KINDS.contains(&kind.as_str()))
    }

    fn may_be_written(&self) -> bool {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        accessat(&self.directory, ".", wanted, AtFlags::EACCESS).is_ok()
    }

    /// Removes the empty file that some file systems without sockets make before bind(2) fails. It
    /// was made just now: bind fails in another way where a file is there before.
    pub(crate) fn remove_failed(&self, base: &OsStr) {
        if let Ok(Some(stat)) = self.look_at(base)
            && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_size == 0
            && self.is_shown_as_own(&stat)
        {
            // The bind has failed in any case.
            let _ = self.unlink(base, FileIdentity::of(&stat));
        }
    }

    /// Whether its owner is the one that this file system shows for our files. That need not be us:
    /// some show one owner for all (vfat), but the same as for our lock file.
    fn is_shown_as_own(&self, stat: &Stat) -> bool {
        let lock = self.look_at(&self.lock_base).ok().flatten();
        ids::uid(stat.st_uid).is_some_and(|owner| Some(owner) == ids::own_uid())
            || lock.is_some_and(|lock| lock.st_uid == stat.st_uid)
    }

    /// The error for a bind(2) that failed.
    pub(crate) fn cannot_bind(&self, address: &Address, errno: Errno) -> ClaimError {
        if self.is_without_sockets(errno) {
            let kind = ClaimErrorKind::NoSockets {
                directory: address.directory(),
                file_system: mounts::file_system_of(&self.directory).map(Into::into),
                denied: errno == Errno::ACCESS && !self.is_of_the_kernel(),
            };
            return ClaimError::new(address, kind).with_source(errno);
        }
        match errno {
            // Moved away since it was opened.
            Errno::NOENT | Errno::NOTDIR if unreachable_parent(&self.parent).is_some() => {
                parent_error(address, &self.parent, errno)
            }
            errno => self.denies(address, errno),
        }
    }

    /// The error for a directory that does not let us make or remove a file.
    pub(crate) fn denies(&self, address: &Address, errno: Errno) -> ClaimError {
        let kind = match errno {
            Errno::NOENT if self.is_removed() => ClaimErrorKind::ParentRemoved(address.directory()),
            // Though the mode permits it, to root at least.
            Errno::ACCESS | Errno::PERM | Errno::NOENT if self.is_of_the_kernel() => {
                ClaimErrorKind::NoSockets {
                    directory: address.directory(),
                    file_system: mounts::file_system_of(&self.directory).map(Into::into),
                    denied: false,
                }
            }
            Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT => {
                ClaimErrorKind::ParentDenies {
                    directory: address.directory(),
                    mode_and_owner: self.directory_mode().ok(),
                }
            }
            _ => ClaimErrorKind::Io,
        };
        ClaimError::new(address, kind).with_source(errno)
    }
}

/// The error for a directory that cannot be opened.
fn parent_error(address: &Address, parent: &Path, errno: Errno) -> ClaimError {
    let kind = match unreachable_parent(parent) {
        Some(UnreachableParent::Missing(directory)) => ClaimErrorKind::ParentMissing(directory),
        Some(UnreachableParent::Removed(directory)) => ClaimErrorKind::ParentRemoved(directory),
        Some(UnreachableParent::NotADirectory(path)) => ClaimErrorKind::ParentNotADirectory(path),
        Some(UnreachableParent::Denied(directory)) => ClaimErrorKind::ParentDenies {
            mode_and_owner: rustix::fs::stat(&directory)
                .ok()
                .map(|stat| (stat.st_mode & 0o7777, ids::uid(stat.st_uid))),
            directory,
        },
        Some(UnreachableParent::Closed(link)) => ClaimErrorKind::ProcessDenies(link),
        None => ClaimErrorKind::Io,
    };
    ClaimError::new(address, kind).with_source(errno)
}

/// # Errors
/// `NameTooLong` where there is no room for a file beside it whose name has so many bytes more.
pub(crate) fn name_fits(address: &Address, base: &OsStr, added: usize) -> Result<(), ClaimError> {
    let (length, most) = (base.len(), NAME_MAX - added);
    if length <= most {
        Ok(())
    } else {
        Err(ClaimError::new(
            address,
            ClaimErrorKind::NameTooLong { length, most },
        ))
    }
}

/// The name for bind(2), which other tools show and compare byte by byte: the path as the user wrote
/// it, without empty and `.` parts. The real path replaces one that is relative, too long, or has `..`.
fn bindable(path: &Path, parent: &Path, base: &OsStr) -> Option<PathBuf> {
    let fits = |name: &PathBuf| name.as_os_str().len() <= MAX_NAME;
    let is_plain = path.is_absolute() && !path.components().any(|c| c == Component::ParentDir);
    let written = is_plain.then(|| path.components().collect()).filter(fits);
    let real = || Some(std::fs::canonicalize(parent).ok()?.join(base)).filter(fits);
    written.or_else(real)
}

/// A name in the same directory that nobody else uses: only for a moment, while a path that is too
/// long for a socket address is bound.
pub(crate) fn temporary_base(attempt: u32) -> OsString {
    let pid = rustix::process::getpid().as_raw_pid();
    OsStr::from_bytes(format!(".sockeye-{pid}-{attempt}").as_bytes()).to_owned()
}
