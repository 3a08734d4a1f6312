//! [`OpenFailure`]: why the file of a recording cannot be opened.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf, absolute};

use rustix::fs::{Access, AtFlags, CWD, FileType, Stat, accessat, readlink, stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::address::quoted;
use crate::claim::{ProcessLink, UnreachableParent, WORKING_DIRECTORY_REMOVED, unreachable_parent};
use crate::hint::{file_type_name, hint_for};
use crate::ids::{self, Shown};

/// As many symbolic links as the kernel follows.
const LINKS: u32 = 40;

/// Why the file of a recording cannot be opened: what was found on the way to it, or there.
#[non_exhaustive]
pub enum OpenFailure {
    /// There is no file.
    Absent,
    /// A symbolic link to this path, where no file is.
    DanglingLink(PathBuf),
    /// A directory of the path does not exist.
    ParentMissing(PathBuf),
    /// The path begins in the working directory, which was removed.
    WorkingDirectoryRemoved,
    /// A part of the path is not a directory.
    ParentNotADirectory(PathBuf),
    /// A directory of the path may not be entered.
    DirectoryDenies(DenyingFile),
    /// No file may be made in its directory.
    NoNewFile(DenyingFile),
    /// The file may not be read.
    NotReadable(DenyingFile),
    /// The file may not be written.
    NotWritable(DenyingFile),
    /// The way leads through a link of `/proc` that may not be followed.
    ProcessDenies(ProcessLink),
    /// Permissions allow it, and the kernel refuses: a security module, or a rule such as
    /// `fs.protected_fifos` (proc_sys_fs(5)).
    Denied,
    /// The file system is mounted read-only.
    ReadOnly,
    /// A file that no recording can be.
    WrongType(FileType),
    /// A system call failed.
    Io(io::Error),
}

/// A file or directory that denies something.
#[derive(Debug)]
#[non_exhaustive]
pub struct DenyingFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its permission bits and its owner's uid, where we may see them; an owner without a mapping in
    /// our user namespace is `None`.
    pub mode_and_owner: Option<(u32, Option<u32>)>,
    /// Who has tried.
    uid: u32,
}

impl OpenFailure {
    /// Looks at the path to find out why open(2) failed: for reading, or for writing to a file that may
    /// be new.
    pub(super) fn explain(path: &Path, error: io::Error, is_written: bool) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM) => {
                on_the_way(path, LINKS, is_written).unwrap_or(match error.kind() {
                    io::ErrorKind::PermissionDenied => Self::Denied,
                    _ => Self::Io(error),
                })
            }
            Some(Errno::ISDIR) => Self::WrongType(FileType::Directory),
            Some(Errno::ROFS) => Self::ReadOnly,
            _ => Self::Io(error),
        }
    }

    /// Whether permissions are the reason.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::DirectoryDenies(_)
                | Self::NoNewFile(_)
                | Self::NotReadable(_)
                | Self::NotWritable(_)
                | Self::ProcessDenies(_)
                | Self::Denied
                | Self::ReadOnly
        )
    }

    /// Whether the file, or the way to it, is missing.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::DanglingLink(_)
                | Self::ParentMissing(_)
                | Self::WorkingDirectoryRemoved
                | Self::ParentNotADirectory(_)
        )
    }
}

/// What stands in the way; `None` where nothing is seen.
fn on_the_way(path: &Path, links: u32, is_written: bool) -> Option<OpenFailure> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Some(found) = unreachable_parent(parent) {
        return Some(match found {
            UnreachableParent::Missing(directory) => OpenFailure::ParentMissing(directory),
            UnreachableParent::Removed(_) => OpenFailure::WorkingDirectoryRemoved,
            UnreachableParent::NotADirectory(path) => OpenFailure::ParentNotADirectory(path),
            UnreachableParent::Denied(path) => {
                OpenFailure::DirectoryDenies(DenyingFile::new(&path))
            }
            UnreachableParent::Closed(link) => OpenFailure::ProcessDenies(link),
        });
    }
    let access = if is_written {
        Access::WRITE_OK
    } else {
        Access::READ_OK
    };
    let allows = |path: &Path| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    if let Ok(found) = stat(path) {
        return match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => Some(OpenFailure::WrongType(FileType::Directory)),
            _ if allows(path) => None,
            _ if is_written => Some(OpenFailure::NotWritable(DenyingFile::new(path))),
            _ => Some(OpenFailure::NotReadable(DenyingFile::new(path))),
        };
    }
    if let Some(link) = ProcessLink::at(path) {
        return Some(OpenFailure::ProcessDenies(link));
    }
    match readlink(path, Vec::new()) {
        Ok(target) if links > 0 => {
            let target = path.with_file_name(OsStr::from_bytes(target.as_bytes()));
            match on_the_way(&target, links - 1, is_written) {
                Some(OpenFailure::Absent) => Some(OpenFailure::DanglingLink(target)),
                other => other,
            }
        }
        _ if is_written && !allows(parent) => {
            Some(OpenFailure::NoNewFile(DenyingFile::new(parent)))
        }
        _ if is_written => None,
        _ => Some(OpenFailure::Absent),
    }
}

impl DenyingFile {
    fn new(path: &Path) -> Self {
        let shown = |stat: Stat| (stat.st_mode & 0o7777, ids::uid(stat.st_uid));
        Self {
            path: absolute(path).unwrap_or_else(|_| path.to_owned()),
            mode_and_owner: stat(path).ok().map(shown),
            uid: geteuid().as_raw(),
        }
    }
}

impl fmt::Display for DenyingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((mode, owner)) = self.mode_and_owner {
            write!(f, " (mode {mode:04o}, owner uid {})", Shown(owner))?;
        }
        write!(f, " does not let uid {}", self.uid)
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ADVICE: &str = "ask its owner, or run as another user";
        match self {
            Self::Absent => f.write_str("there is no such file; check the name"),
            Self::DanglingLink(target) => write!(
                f,
                "it is a symbolic link to {}, which does not exist; check the name",
                quoted(target)
            ),
            Self::ParentMissing(directory) => write!(
                f,
                "the directory {} does not exist; make it, or check the path",
                quoted(directory)
            ),
            Self::WorkingDirectoryRemoved => f.write_str(WORKING_DIRECTORY_REMOVED),
            Self::ParentNotADirectory(path) => {
                write!(f, "{} is not a directory; check the path", quoted(path))
            }
            Self::DirectoryDenies(denying) => write!(
                f,
                "the directory {}{denying} pass, which takes its execute bit (x); {ADVICE}",
                quoted(&denying.path)
            ),
            Self::NoNewFile(denying) => write!(
                f,
                "the directory {}{denying} make a file there; name one in a directory of your own",
                quoted(&denying.path)
            ),
            Self::NotReadable(denying) => write!(f, "the file{denying} read it; {ADVICE}"),
            Self::NotWritable(denying) => {
                write!(f, "the file{denying} write to it; name another file")
            }
            Self::ProcessDenies(link) => {
                let uid = geteuid().as_raw();
                let found = link.is_closed_to(format_args!("uid {uid}"));
                write!(f, "{found}; {}", ProcessLink::ADVICE)
            }
            Self::Denied => f.write_str(
                "its permissions allow it, and the kernel refuses it: a security module (SELinux, AppArmor, Landlock) or a rule for directories such as /tmp (fs.protected_regular); name a file in a directory of your own",
            ),
            Self::ReadOnly => f.write_str(
                "the file system is mounted read-only; name a file on another one",
            ),
            Self::WrongType(found) => {
                write!(f, "it is {}, not a regular file", file_type_name(*found))?;
                f.write_str(match found {
                    FileType::Fifo | FileType::CharacterDevice => "; save it to one first",
                    _ => "; check the name",
                })
            }
            Self::Io(error) => {
                write!(f, "{error}; {}", hint_for(Errno::from_io_error(error)))
            }
        }
    }
}

impl std::error::Error for OpenFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

crate::error_debug::debug_as_display!(OpenFailure);
