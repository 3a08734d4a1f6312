//! [`FileRoot`]: the directory of `serve --http`, and the files below it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use http::StatusCode;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, readlink};
use rustix::io::Errno;
use sockeye::Address;
use sockeye::address::quoted;

use crate::exit::{Exit, failure};

/// What a directory shows.
const INDEX: &[u8] = b"index.html";
/// How often a look-up with `..` is repeated that a rename(2) has disturbed (openat2(2), `EAGAIN`).
const ATTEMPTS: usize = 16;

/// A directory. No file outside of it can be reached, whatever a path or a symbolic link says: the kernel
/// holds that (openat2(2), `RESOLVE_BENEATH`), also while directories are being moved; of what an absolute
/// link leads to it says where that is.
pub(in crate::cmd::serve) struct FileRoot(OwnedFd);

/// What is at a path.
pub(super) enum FoundFile {
    /// A regular file.
    File(File),
    /// A directory, whose path was given without the slash at its end.
    Directory,
}

/// Why a path is not served.
#[derive(Debug)]
pub(super) struct FileRefusal {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

impl FileRoot {
    /// # Errors
    /// Exit 3 where there is no such directory, exit 5 where it may not be entered.
    pub(in crate::cmd::serve) fn open(path: &Path, address: &Address) -> anyhow::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(path, flags, Mode::empty()).map(Self);
        // A filter of system calls may know openat2(2) or not, and the files may not be reached.
        let opened = opened.and_then(|root| root.look_at(b".").map(|_| root));
        opened.map_err(|errno| {
            let (exit, advice) = match errno {
                Errno::NOENT => (Exit::NothingThere, "make it, or check the name"),
                Errno::NOTDIR => (Exit::NothingThere, "give the directory that it is in"),
                Errno::ACCESS => (
                    Exit::NotPermitted,
                    "it needs the permission x for this user",
                ),
                Errno::NOSYS | Errno::PERM => (
                    Exit::NotPermitted,
                    "openat2(2) must be allowed; look at the filter of system calls (seccomp)",
                ),
                _ => (Exit::Failed, "check the name"),
            };
            let error = io::Error::from(errno);
            failure(
                exit,
                format!(
                    "cannot listen on {} with the files of {}: {error}; {advice}",
                    address.quoted(),
                    quoted(path)
                ),
            )
        })
    }

    /// The file at a path that is decoded already. Blocks as long as the file system takes.
    pub(super) fn find(&self, path: &[u8]) -> Result<FoundFile, FileRefusal> {
        let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
        let relative = &path[slashes..];
        let is_directory = relative.is_empty() || relative.ends_with(b"/");
        let name = if is_directory {
            [relative, INDEX].concat()
        } else {
            relative.to_vec()
        };
        let found = self.look_at(&name).map_err(|errno| {
            let missing = if is_directory {
                "there is no index.html, and directories are not listed"
            } else {
                "nothing is there"
            };
            refusal_of(errno, missing)
        })?;
        match FileType::from_raw_mode(fstat(&found).map_err(|e| refusal_of(e, ""))?.st_mode) {
            FileType::RegularFile => Ok(FoundFile::File(open_for_reading(&found)?)),
            FileType::Directory if is_directory => Err(FileRefusal {
                status: StatusCode::NOT_FOUND,
                why: "index.html is a directory",
            }),
            FileType::Directory => Ok(FoundFile::Directory),
            _ => Err(FileRefusal {
                status: StatusCode::FORBIDDEN,
                why: "it is not a regular file",
            }),
        }
    }

    /// Opens without effect on what is there (`O_PATH`): a FIFO would wake its writer, and a device may do
    /// anything.
    fn look_at(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        match self.resolve(name, ResolveFlags::BENEATH) {
            Err(Errno::XDEV) if !name.split(|&byte| byte == b'/').any(|part| part == b"..") => {
                // A link, which may be absolute and stay inside all the same. Nothing is said of what is outside.
                let found = self.resolve(name, ResolveFlags::empty());
                let found = found.map_err(|_| Errno::XDEV)?;
                let is_inside = self.holds(&found)?;
                is_inside.then_some(found).ok_or(Errno::XDEV)
            }
            looked => looked,
        }
    }

    fn resolve(&self, name: &[u8], within: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = within | ResolveFlags::NO_MAGICLINKS;
        let look = || openat2(&self.0, name, flags, Mode::empty(), resolve);
        let mut found = look();
        for _ in 1..ATTEMPTS {
            if !matches!(found, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
            found = look();
        }
        found
    }

    /// Whether a file is below this directory, by the paths of both at this moment (proc_pid_fd(5)).
    fn holds(&self, file: &OwnedFd) -> Result<bool, Errno> {
        let (root, file) = (path_of(&self.0)?, path_of(file)?);
        let rest = file.strip_prefix(root.strip_suffix(b"/").unwrap_or(&root));
        // The path of what is out of reach begins with a word in parentheses.
        Ok(root.starts_with(b"/") && rest.is_some_and(|rest| rest.starts_with(b"/")))
    }
}

fn path_of(fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(readlink(link, Vec::new())?.into_bytes())
}

/// Opens the file itself, not what is at its path by now. `O_NONBLOCK`, so that a lease of another process
/// is not waited for (fcntl(2)).
fn open_for_reading(found: &OwnedFd) -> Result<File, FileRefusal> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = open(path, flags, Mode::empty());
    Ok(opened
        .map_err(|errno| refusal_of(errno, "/proc is not mounted"))?
        .into())
}

/// `missing` says what is not there.
fn refusal_of(errno: Errno, missing: &'static str) -> FileRefusal {
    let (status, why) = match errno {
        // EINVAL: a name with a zero byte.
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL => {
            (StatusCode::NOT_FOUND, missing)
        }
        Errno::XDEV => (StatusCode::NOT_FOUND, "it leads out of the directory"),
        Errno::LOOP => (StatusCode::NOT_FOUND, "its symbolic links lead nowhere"),
        Errno::ACCESS | Errno::PERM => (StatusCode::FORBIDDEN, "the server may not read it"),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the server has too many files open, or too little memory",
        ),
        Errno::AGAIN => (
            StatusCode::SERVICE_UNAVAILABLE,
            "it is being changed at this moment",
        ),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "its file system reports an error",
        ),
    };
    FileRefusal { status, why }
}
