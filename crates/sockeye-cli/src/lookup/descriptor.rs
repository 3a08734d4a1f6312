//! [`Descriptor`]: a received fd, described as text.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use serde::{Serialize, Serializer};
use sockeye::address::escaped;

use crate::escape;

/// What a received fd refers to.
#[derive(Serialize)]
pub(crate) struct Descriptor {
    /// The link in `/proc/self/fd`: a path, or `pipe:[4242]`.
    #[serde(serialize_with = "lossy")]
    path: Option<Vec<u8>>,
    /// If that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    #[serde(rename = "type")]
    pub(crate) file_type: Option<&'static str>,
    pub(crate) access: Option<&'static str>,
}

impl Descriptor {
    pub(crate) fn of(fd: impl AsFd) -> Self {
        let fd = fd.as_fd();
        let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let path = path.ok().map(|path| path.into_os_string().into_vec());
        let not_utf8 = path.as_deref().filter(|path| str::from_utf8(path).is_err());
        let file_type = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        Self {
            path_base64: not_utf8.map(|path| STANDARD.encode(path)),
            path,
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
        let path = OsStr::from_bytes(self.path.as_deref().unwrap_or(b"?"));
        write!(
            f,
            "{} ({}, {})",
            escape::address(&escaped(path).to_string()),
            self.file_type.unwrap_or("?"),
            self.access.unwrap_or("?")
        )
    }
}
