//! The files of `send --fd` (fd passing).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sockeye::Address;
use sockeye::address::quoted;
use sockeye::ancillary::MAX_DESCRIPTORS;
use sockeye::claim::{ProcessLink, WORKING_DIRECTORY_REMOVED, begins_in_removed};

use crate::exit::{Exit, failure};

/// Opens the files whose fds are passed to `address`.
pub(super) fn open(files: &[PathBuf], address: &Address) -> anyhow::Result<Vec<OwnedFd>> {
    let count = files.len();
    if count > MAX_DESCRIPTORS {
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot send to {address}: {count} files, and a message takes {MAX_DESCRIPTORS}; send several messages"
            ),
        ));
    }
    let open = |path: &PathBuf| {
        open_to_read(path).map_err(|errno| {
            let link = ProcessLink::on_the_way(path).filter(|_| errno == Errno::ACCESS);
            let why = match link {
                Some(link) => link.to_string(),
                None if errno == Errno::NOENT && begins_in_removed(path) => {
                    WORKING_DIRECTORY_REMOVED.to_owned()
                }
                None => std::io::Error::from(errno).to_string(),
            };
            let path = quoted(path);
            failure(
                Exit::Failed,
                format!("cannot open {path}: {why}; nothing was sent"),
            )
        })
    };
    files.iter().map(open).collect()
}

/// `O_NONBLOCK`: a FIFO without a writer does not block. `O_NOCTTY`: no terminal becomes ours.
fn open_to_read(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags | OFlags::NONBLOCK, Mode::empty())?;
    // The receiver expects a blocking file.
    rustix::fs::fcntl_setfl(&fd, flags)?;
    Ok(fd)
}
