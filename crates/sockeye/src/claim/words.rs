//! Words that errors share.

use std::fmt;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::address::quoted;

/// What to do about a system call that failed.
pub(crate) fn hint_for(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::MFILE) => "allow more open files (ulimit -n)",
        Some(Errno::NFILE) => "the whole system has too many files open",
        Some(Errno::NOSPC | Errno::DQUOT) => "make room on that file system",
        Some(Errno::LOOP) => "look at the symbolic links on the way",
        Some(Errno::STALE) => {
            "a layer below overlayfs was changed, or a network server has lost the file; mount it anew"
        }
        Some(Errno::NAMETOOLONG) => "shorten the path",
        _ => "look at the path, or at what the system has left",
    }
}

/// A file type in words, with its article.
pub(crate) fn file_type_name(file: FileType) -> &'static str {
    match file {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "a file of unknown type",
    }
}

/// Why bind(2) is refused where other files can be made.
pub(super) fn no_sockets(
    f: &mut fmt::Formatter<'_>,
    directory: &Path,
    file_system: &str,
    denied: bool,
    reason: &dyn fmt::Display,
) -> fmt::Result {
    let directory = quoted(directory);
    match denied {
        true => write!(
            f,
            "the mode of the directory {directory} permits it, but its file system ({file_system}) or a security module (SELinux, AppArmor, Landlock) denies a socket there ({reason}); choose another directory, or look in the audit log"
        ),
        false => write!(
            f,
            "the file system of {directory} ({file_system}) cannot hold sockets ({reason}); choose a path on another file system, such as /run or /tmp"
        ),
    }
}
