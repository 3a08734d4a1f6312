//! Removed files of a running server are recreated.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::{ClaimError, ClaimErrorKind};
use super::ownership::Ownership;
use super::place::FileIdentity;
use super::{control, control_address, lock, publish};

/// What was recreated, beside the lock file.
#[derive(Debug, Default)]
pub(crate) struct Renewed {
    /// Listens at the path from now on. The old socket stays open, for clients that reach it by another
    /// name, as through a bind mount.
    pub(crate) listener: Option<OwnedFd>,
    /// Whether there is another control socket.
    pub(crate) control: bool,
}

impl Ownership {
    /// Recreates what is missing of the lock file, the control socket's file and the socket file, in
    /// this order. A socket that has lost its file cannot be bound again, so a new socket is made.
    ///
    /// Without the lock file somebody else may have claimed the path, or be about to. So its lock is
    /// taken first, as in a claim, and a file at the path is left.
    ///
    /// `renewed` says what was made, also where the rest fails.
    pub(crate) fn renew(&mut self, renewed: &mut Renewed) -> Result<(), ClaimError> {
        let address = self.address.clone();
        let io = |errno| ClaimError::io(&address, errno);
        if !self.place.is_at_path() {
            let now = self.place.path_of_directory();
            let kind = ClaimErrorKind::DirectoryReplaced { now };
            return Err(ClaimError::new(&address, kind));
        }
        if !self.lock.is_current(&self.place).map_err(io)? {
            self.lock = lock::take(&address, &self.place)?;
        }
        if self.lacks_control().map_err(io)?
            && let Some(control) = control_address(&address)
        {
            if let Err(error) = control::publish(&control, self) {
                self.remove_control_file();
                return Err(error);
            }
            renewed.control = true;
        }
        if self.has_file().map_err(io)? {
            return Ok(());
        }
        match self.place.look_at(&self.place.base).map_err(io)? {
            Some(_) => {
                let kind = ClaimErrorKind::InUse { pid: None };
                return Err(ClaimError::new(&address, kind));
            }
            None => renewed.listener = Some(self.publish()?),
        }
        Ok(())
    }

    /// Whether our file is at the path, or where a tap has put it. A tap that was killed may have left
    /// it there, and the path be empty: then it is put back.
    fn has_file(&self) -> Result<bool, Errno> {
        let Some(file) = self.file else {
            return Ok(false);
        };
        match self.place.name_of(file)? {
            None => Ok(false),
            Some(base) if base == self.place.base => Ok(true),
            Some(displaced) => {
                let (directory, base) = (&self.place.directory, &self.place.base);
                let flags = RenameFlags::NOREPLACE;
                match renameat_with(directory, &displaced, directory, base, flags) {
                    // That of the tap is there, or the tap has restored the path.
                    Ok(()) | Err(Errno::EXIST | Errno::NOENT) => Ok(true),
                    Err(errno) => Err(errno),
                }
            }
        }
    }

    /// Whether the control socket has lost its file. A file that somebody else has put there prevents a
    /// new one.
    pub(crate) fn lacks_control(&self) -> Result<bool, Errno> {
        let Some(control) = &self.control else {
            return Ok(false);
        };
        let now = control.place.look_at(&control.place.base)?;
        let now = now.map(|now| FileIdentity::of(&now));
        Ok(now.is_none() || now != control.file)
    }

    fn publish(&mut self) -> Result<OwnedFd, ClaimError> {
        let socket = self
            .options
            .socket(self.address.kind())
            .map_err(|errno| ClaimError::io(&self.address, errno))?;
        self.file = None;
        let (address, options) = (&self.address, &self.options);
        let published = publish::path(address, options, &socket, &self.place, &mut self.file);
        match published {
            Ok(()) => Ok(socket),
            Err(error) => {
                self.remove_file();
                Err(error)
            }
        }
    }

    /// Undoes a recreated socket, on which nothing can listen.
    pub(crate) fn unpublish(&mut self, error: io::Error) -> ClaimError {
        self.remove_file();
        ClaimError::io(&self.address, error)
    }

    fn remove_control_file(&mut self) {
        if let Some(control) = &mut self.control
            && let Some(file) = control.file.take()
        {
            let _ = control.place.unlink(&control.place.base, file);
        }
    }

    fn remove_file(&mut self) {
        if let Some(file) = self.file.take() {
            let _ = self.place.unlink(&self.place.base, file);
        }
    }
}
