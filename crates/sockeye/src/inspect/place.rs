//! Where the file of a socket is now: at the name that was bound, or elsewhere.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;

use super::diag::FileId;
use super::file::{Files, present, through, unplaced};
use super::procfs;
use super::renamed;
use super::socket::{FileState, Holder, SocketFile};
use crate::{socket, sys};

impl Files {
    /// The file of the socket with that inode, which was bound to `name`; its path where it has
    /// another one by now.
    pub(super) fn place(
        &mut self,
        inode: u32,
        name: &[u8],
        id: FileId,
        holders: Option<&[Holder]>,
    ) -> (SocketFile, Option<PathBuf>) {
        let path = Path::new(OsStr::from_bytes(name));
        if let Some((fd, rest)) = renamed::through_descriptor(path) {
            return self.place_through(fd, rest, id, holders);
        }
        let file = self.place_at(name, id, holders);
        match file.state {
            Some(FileState::Present) => (file, None),
            _ => match self.search(name, id, holders, file) {
                (lost, None) => self.ask_kernel(inode, id, holders).unwrap_or((lost, None)),
                found => found,
            },
        }
    }

    /// Asks where the file of a socket is: it may have been moved to another directory. `None` where
    /// it was removed, and for those who may not ask (`CAP_NET_ADMIN`, `CAP_SYS_PTRACE`).
    fn ask_kernel(
        &mut self,
        inode: u32,
        id: FileId,
        holders: Option<&[Holder]>,
    ) -> Option<(SocketFile, Option<PathBuf>)> {
        let holder = holders?.first()?;
        // Closed at once: the file system may not answer, and the socket is somebody else's.
        let file = {
            let socket = procfs::duplicate(holder.process.pid, holder.fd, inode).ok()?;
            sys::socket::bound_file(socket.as_fd()).ok()?
        };
        let stat = fstat(&file).ok().filter(|stat| stat.st_nlink > 0)?;
        let path = std::fs::read_link(socket::path_of(&file)).ok()?;
        let is_here = self.is_at(&path, id);
        let file = SocketFile {
            elsewhere: !is_here,
            ..present(&stat)
        };
        Some((file, Some(path)))
    }

    /// Looks for a file that is not at the name that was bound in the same directory.
    fn search(
        &mut self,
        name: &[u8],
        id: FileId,
        holders: Option<&[Holder]>,
        file: SocketFile,
    ) -> (SocketFile, Option<PathBuf>) {
        let Some((parent, _)) = renamed::split(name) else {
            return (file, None);
        };
        let held = holders.unwrap_or_default();
        let directories: Vec<(PathBuf, bool)> = if parent.is_absolute() {
            let theirs = held.first().map(|holder| {
                let mut theirs = through(holder, "root").into_os_string();
                theirs.push(parent);
                PathBuf::from(theirs)
            });
            let theirs = theirs.filter(|theirs| self.are_different(parent, theirs));
            let theirs = theirs.map(|theirs| (theirs, true));
            [(parent.to_owned(), false)]
                .into_iter()
                .chain(theirs)
                .collect()
        } else {
            held.iter()
                .map(|holder| (through(holder, "cwd").join(parent), false))
                .collect()
        };
        let mut state = file.state;
        for (directory, elsewhere) in directories {
            match self.search.look_in(&directory, id, &self.mounts) {
                Ok(Some(found)) => {
                    let file = SocketFile {
                        elsewhere,
                        ..present(&found.stat)
                    };
                    return (file, Some(parent.join(found.name)));
                }
                Ok(None) => {}
                Err(()) => state = None,
            }
        }
        (SocketFile { state, ..file }, None)
    }

    /// The file of a socket that was bound to `rest` in the directory that was open as `fd`.
    fn place_through(
        &mut self,
        fd: &str,
        rest: &Path,
        id: FileId,
        holders: Option<&[Holder]>,
    ) -> (SocketFile, Option<PathBuf>) {
        for holder in holders.unwrap_or_default() {
            let first = [through(holder, "fd").join(fd)];
            if let Some(found) = self.place_in(&first, rest, id) {
                return found;
            }
            let others = self.search.open_directories(holder).to_vec();
            if let Some(found) = self.place_in(&others, rest, id) {
                return found;
            }
        }
        (unplaced(id), None)
    }

    /// The file at `rest` in one of these directories, or renamed there.
    fn place_in(
        &mut self,
        directories: &[PathBuf],
        rest: &Path,
        id: FileId,
    ) -> Option<(SocketFile, Option<PathBuf>)> {
        for directory in directories {
            let path = directory.join(rest);
            let (rest, stat) = match self.stat(&path) {
                Ok(stat) if id.is_at(&path, &stat, &self.mounts) => (rest.to_owned(), stat),
                _ => match self.search.look_in(path.parent()?, id, &self.mounts) {
                    Ok(Some(found)) => (rest.with_file_name(found.name), found.stat),
                    _ => continue,
                },
            };
            let path = std::fs::read_link(directory).ok()?.join(rest);
            let is_here = self.is_at(&path, id);
            let file = SocketFile {
                elsewhere: !is_here,
                ..present(&stat)
            };
            return Some((file, Some(path)));
        }
        None
    }
}
