//! [`SaveDirectory`]: the directory of `send --save-fd`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, AtFlags, Dir, Mode, OFlags, accessat, fstat, openat, statat, unlinkat};
use rustix::io::{Errno, pread, retry_on_intr};
use sockeye::Address;
use sockeye::address::quoted;

use crate::exit::{Exit, failure};
use crate::lookup::descriptor::Descriptor;

/// A file of /proc or of a FUSE may have a content though its size is said to be 0. No more is read
/// of it.
const MOST_OF_UNKNOWN_SIZE: u64 = 16 << 20;
/// An empty file takes room, too.
const LEAST_COST: u64 = 4096;
const BUFFER: usize = 256 << 10;

pub(crate) struct SaveDirectory {
    fd: OwnedFd,
    pub(super) path: PathBuf,
    /// How many bytes may still be saved.
    left: AtomicU64,
}

/// A received fd that can be read.
pub(super) struct SavableFile<'a> {
    fd: BorrowedFd<'a>,
    size: u64,
}

/// A file that was made here.
pub(super) struct MadeFile {
    name: String,
    device: u64,
    inode: u64,
}

impl SaveDirectory {
    /// Opens `path`, where at most `most` bytes will be saved, and checks that files can be made there
    /// and that none has a number for its name.
    ///
    /// # Errors
    /// Says that nothing was sent to `address`.
    pub(super) fn open(path: &Path, most: u64, address: &Address) -> anyhow::Result<Self> {
        let refuse = |exit, why: &str| {
            let (address, path) = (address.quoted(), quoted(path));
            let text = format!(
                "cannot save file descriptors of {address} in {path}: {why}; nothing was sent"
            );
            failure(exit, text)
        };
        let refuse_errno = |errno: Errno| match errno {
            Errno::NOENT => refuse(Exit::Failed, "there is no such directory; make it (mkdir)"),
            Errno::NOTDIR => refuse(Exit::Failed, "it is not a directory"),
            Errno::ACCESS | Errno::PERM => {
                let why = "permission denied: it must be readable and writable";
                refuse(Exit::NotPermitted, why)
            }
            errno => refuse(Exit::Failed, &io::Error::from(errno).to_string()),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(refuse_errno)?;
        accessat(
            &fd,
            ".",
            Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::EACCESS,
        )
        .map_err(refuse_errno)?;
        for entry in Dir::read_from(&fd).map_err(refuse_errno)? {
            let entry = entry.map_err(refuse_errno)?;
            let name = entry.file_name().to_bytes();
            if name.iter().all(u8::is_ascii_digit) {
                let name = String::from_utf8_lossy(name);
                let why = format!("{name} exists there already; choose an empty directory");
                return Err(refuse(Exit::Failed, &why));
            }
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
            left: AtomicU64::new(most),
        })
    }

    /// `fd`, or why it cannot be saved.
    pub(super) fn source<'a>(&self, fd: &'a OwnedFd) -> Result<SavableFile<'a>, String> {
        let described = Descriptor::of(fd);
        match (described.file_type, described.access) {
            (Some("regular file"), Some("read-only" | "read-write")) => {}
            (Some("regular file"), Some(access)) => return Err(format!("regular file, {access}")),
            (file_type, _) => return Err(file_type.unwrap_or("unknown type").to_owned()),
        }
        let stat = fstat(fd).map_err(unreadable)?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        if size.max(LEAST_COST) > self.left.load(Ordering::Relaxed) {
            return Err(too_large(&format!("{size} bytes")));
        }
        Ok(SavableFile {
            fd: fd.as_fd(),
            size,
        })
    }

    /// Makes the file of this number. One that exists is neither overwritten nor followed.
    pub(super) fn create(&self, number: usize) -> Result<(File, MadeFile), String> {
        let name = number.to_string();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.fd, &name, flags, Mode::RUSR | Mode::WUSR);
        let file = made.map_err(|errno| match errno {
            Errno::EXIST => "a file of that name exists".to_owned(),
            errno => unwritable(&errno.into()),
        })?;
        let stat = fstat(&file).map_err(|errno| unwritable(&errno.into()))?;
        let made = MadeFile {
            name,
            device: stat.st_dev,
            inode: stat.st_ino,
        };
        Ok((file.into(), made))
    }

    /// Copies from the beginning as many bytes as the file had. The file position, which others share,
    /// does not move.
    pub(super) fn copy(&self, from: &SavableFile<'_>, mut to: File) -> Result<(), String> {
        let left = self.left.load(Ordering::Relaxed);
        let mut buffer = vec![0; BUFFER];
        let mut offset = 0;
        loop {
            let most = match from.size {
                0 if offset > left.min(MOST_OF_UNKNOWN_SIZE) => {
                    return Err(too_large(&format!("more than {offset} bytes")));
                }
                0 => BUFFER as u64,
                size => size - offset,
            };
            let room = buffer.len().min(most.try_into().unwrap_or(BUFFER));
            let count = retry_on_intr(|| pread(from.fd, &mut buffer[..room], offset));
            let count = count.map_err(unreadable)?;
            if count == 0 {
                break;
            }
            to.write_all(&buffer[..count])
                .map_err(|error| unwritable(&error))?;
            offset += count as u64;
        }
        let cost = offset.max(LEAST_COST);
        self.left
            .store(left.saturating_sub(cost), Ordering::Relaxed);
        Ok(())
    }

    /// Removes a file that is not complete, unless another has its name by now.
    pub(super) fn remove(&self, file: &MadeFile) {
        let found = statat(&self.fd, &file.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| (found.st_dev, found.st_ino) == (file.device, file.inode)) {
            let _ = unlinkat(&self.fd, &file.name, AtFlags::empty());
        }
    }
}

fn unreadable(errno: Errno) -> String {
    format!("cannot be read: {}", io::Error::from(errno))
}

fn unwritable(error: &io::Error) -> String {
    format!("cannot be written: {error}")
}

fn too_large(size: &str) -> String {
    format!("regular file of {size}; --max-saved allows more")
}
