//! A descriptor that came with a message, in words.

use std::fmt::{self, Display};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use serde::{Serialize, Serializer};

use super::escape;

/// What an open file is, as far as we can see.
#[derive(Serialize)]
pub(crate) struct Descriptor {
    /// What `/proc/self/fd` says: a path, or such as `pipe:[4242]`.
    #[serde(serialize_with = "lossy")]
    path: Option<Vec<u8>>,
    #[serde(rename = "type")]
    file_type: Option<&'static str>,
    access: Option<&'static str>,
}

impl Descriptor {
    pub(crate) fn of(fd: impl AsFd) -> Self {
        let fd = fd.as_fd();
        let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let file_type = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        Self {
            path: path.ok().map(|path| path.into_os_string().into_vec()),
            file_type: file_type.ok().map(|file_type| match file_type {
                FileType::RegularFile => "regular file",
                FileType::Directory => "directory",
                FileType::Symlink => "symbolic link",
                FileType::Fifo => "pipe",
                FileType::Socket => "socket",
                FileType::CharacterDevice => "character device",
                FileType::BlockDevice => "block device",
                // eventfd(2), memfd of secrets, epoll(7), pidfd: no type of the file system
                _ => "anonymous file",
            }),
            access: fcntl_getfl(fd).ok().map(|flags| {
                if flags.contains(OFlags::PATH) {
                    return "path only";
                }
                match flags & OFlags::RWMODE {
                    OFlags::RDONLY => "read-only",
                    OFlags::WRONLY => "write-only",
                    _ => "read-write",
                }
            }),
        }
    }
}

fn lossy<S: Serializer>(path: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    let path = path.as_deref();
    path.map(String::from_utf8_lossy).serialize(serializer)
}

impl Display for Descriptor {
    /// `/etc/hosts (regular file, read-only)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {})",
            escape::bytes(self.path.as_deref().unwrap_or(b"?")),
            self.file_type.unwrap_or("?"),
            self.access.unwrap_or("?")
        )
    }
}
