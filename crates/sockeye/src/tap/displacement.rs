//! [`Displacement`]: what a tap does to the directory of a socket.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, lstat, openat, renameat};
use rustix::io::Errno;

use super::error::{TapError, TapErrorKind};
use super::guardian::Guardian;
use super::names::TapNames;
use super::restore::{Restored, TapFile, TapFiles};
use super::server::{TappedServer, is_dead};
use super::state_file::StateFile;
use crate::address::Address;
use crate::claim::{FileAccess, FileIdentity, Place, beside, displaced_base};
use crate::socket;

/// What was done to the directory.
pub(super) struct Displacement {
    // Dropped in this order: the guardian before the lock is free.
    guardian: Option<Guardian>,
    state: StateFile,
    pub(super) names: TapNames,
    files: Option<TapFiles>,
    /// The tap's socket file (`O_PATH`), whatever its name is.
    tap_file: Option<OwnedFd>,
}

impl Displacement {
    /// Takes the lock, and restores what a killed tap has left.
    pub(super) fn begin(address: &Address, names: TapNames) -> Result<Self, TapError> {
        let (state, left) = StateFile::take(address, &names)?;
        let this = Self {
            guardian: None,
            state,
            names,
            files: None,
            tap_file: None,
        };
        let cleared = match left {
            Some(files) => restore_left(files, &this.names).map(|_| ()),
            None => remove_unused(&this.names).map(|_| ()),
        };
        cleared.map_err(|errno| TapError::io(address, errno))?;
        Ok(this)
    }

    /// The two files, while the path is displaced or about to be.
    pub(super) fn files(&self) -> Option<TapFiles> {
        self.files
    }

    /// The tap's socket file.
    pub(super) fn tap_file(&self) -> Option<&OwnedFd> {
        self.tap_file.as_ref()
    }

    /// Binds the tap's socket to the displaced name, where it is as open as the server's.
    pub(super) fn bind(
        &mut self,
        address: &Address,
        place: &Place,
        socket: &OwnedFd,
        server: &TappedServer,
    ) -> Result<(), TapError> {
        let io = |errno: Errno| TapError::io(address, errno);
        let names = &self.names;
        if names.look_at(&names.displaced).map_err(io)?.is_some() {
            return Err(TapError::new(address, TapErrorKind::ForeignDisplacedFile));
        }
        let access = FileAccess::of(&server.file).map_err(io)?;
        let base = displaced_base(&place.base);
        let bound = beside(address, place, &base, socket, &access).map_err(TapError::claim)?;
        let opened = open_file(names, bound).inspect_err(|_| {
            let _ = names.unlink(&names.displaced);
        });
        let (file, tap) = opened.map_err(io)?;
        let original = FileIdentity::of(&server.stat);
        // From now on it is removed where something fails.
        self.files = Some(TapFiles { original, tap });
        self.tap_file = Some(file);
        Ok(())
    }

    /// Exchanges the two names, once the guardian watches.
    pub(super) fn step_in(&mut self, address: &Address) -> Result<(), TapError> {
        let io = |errno: Errno| TapError::io(address, errno);
        let Some(files) = self.files else {
            return Ok(());
        };
        self.state.note(files).map_err(io)?;
        let guardian = Guardian::start(&self.names, files, &self.state);
        self.guardian = Some(guardian.map_err(|error| TapError::io(address, error))?);
        let kind = match files.displace(&self.names) {
            Ok(true) => return Ok(()),
            Ok(false) => TapErrorKind::Replaced,
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => TapErrorKind::NoExchange,
            Err(Errno::BUSY) => TapErrorKind::MountPoint,
            Err(errno) => TapErrorKind::Io(errno.into()),
        };
        Err(TapError::new(address, kind))
    }

    pub(super) fn restore(&mut self) -> Result<Restored, Errno> {
        let Some(files) = self.files else {
            return Ok(Restored::Unchanged);
        };
        let restored = if self.follow_rename(files) {
            Restored::Renamed
        } else {
            files.restore(&self.names)?
        };
        self.files = None;
        // Before the lock: another tap would be restored by it.
        self.guardian = None;
        self.state.remove(&self.names);
        Ok(restored)
    }

    /// Gives the server's file the name that somebody has given to the tap's, as `mv` would have.
    fn follow_rename(&self, files: TapFiles) -> bool {
        let is_elsewhere = self
            .names
            .look_at(&self.names.path)
            .is_ok_and(|found| !files.is_tap(found.as_ref()));
        let now = self.tap_file.as_ref().filter(|_| is_elsewhere);
        // Of a file without a name the link leads nowhere.
        let now = now.and_then(|file| std::fs::read_link(socket::path_of(file)).ok());
        let Some(now) = now else { return false };
        let is_there = lstat(&now).is_ok_and(|found| files.is_tap(Some(&found)));
        let beside = self.names.look_at(&self.names.displaced);
        let is_ours = is_there && beside.is_ok_and(|found| files.is_original(found.as_ref()));
        let (directory, displaced) = (&self.names.directory, &self.names.displaced);
        is_ours && renameat(directory, displaced, CWD, &now).is_ok()
    }
}

impl Drop for Displacement {
    fn drop(&mut self) {
        if self.files.is_none() {
            self.state.remove(&self.names);
        }
        // A failure cannot be reported here; `Tap::restore_path` can be called later.
        let _ = self.restore();
    }
}

/// Undoes what a killed tap has left. Where nothing is at the path, somebody has removed the tap's dead
/// file, and a server that still runs is put back there: otherwise its socket would be lost.
pub(super) fn restore_left(files: TapFiles, names: &TapNames) -> Result<Restored, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if names.look_at(&names.path)?.is_none()
        && let Ok(file) = openat(&names.directory, &names.displaced, flags, Mode::empty())
        && files.is_original(Some(&fstat(&file)?))
        && !is_dead(&file)
    {
        match names.put_back() {
            Ok(()) => return Ok(Restored::Original),
            // Another file is at the path by now.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    files.restore(names)
}

/// Removes the socket of a tap that was killed before it had noted it. A live socket, or another file,
/// is left.
pub(super) fn remove_unused(names: &TapNames) -> Result<Restored, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(&names.directory, &names.displaced, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Restored::Unchanged),
        file => file?,
    };
    let is_socket = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::Socket;
    if is_socket && is_dead(&file) {
        names.unlink(&names.displaced)?;
        return Ok(Restored::Unused);
    }
    Ok(Restored::Unchanged)
}

/// The tap's own socket file, before it is at the path.
fn open_file(names: &TapNames, bound: FileIdentity) -> Result<(OwnedFd, TapFile), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&names.directory, &names.displaced, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if FileIdentity::of(&stat) == bound {
        Ok((file, TapFile::of(&stat)))
    } else {
        Err(Errno::STALE)
    }
}
