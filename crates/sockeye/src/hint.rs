//! What errors say about an errno and about a file type.

use rustix::fs::FileType;
use rustix::io::Errno;

/// What to do about a system call that failed.
pub(crate) fn hint_for(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::MFILE) => "allow more open files (ulimit -n)",
        Some(Errno::NFILE) => "the whole system has too many files open",
        Some(Errno::NOSPC | Errno::DQUOT) => "make room on that file system",
        Some(Errno::LOOP) => "look at the symbolic links on the way",
        Some(Errno::STALE) => {
            "a layer below overlayfs was changed, or a network server has lost the file; remount it"
        }
        Some(Errno::NAMETOOLONG) => "shorten the path",
        _ => "look at the path, or at what the system has left",
    }
}

/// A file type as text, with its article.
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
