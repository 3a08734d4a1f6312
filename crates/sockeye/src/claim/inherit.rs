//! An ownership that another process passes on: looked at closely before it is believed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::net::listen;

use super::lock::Lock;
use super::ownership::{Control, Ownership};
use super::place::{FileIdentity, Place};
use super::{CONTROL_BACKLOG, ClaimError, ClaimOptions, access, control_address};
use crate::address::{Address, Kind};
use crate::adopt;
use crate::inspect::diag::{self, Entry};
use crate::inspect::{is_bound_to, namespace};

/// All that the owner of a path has open.
pub(crate) struct Inheritance {
    pub(crate) listener: OwnedFd,
    pub(crate) lock: OwnedFd,
    pub(crate) control: OwnedFd,
}

/// What was passed on and is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The listening socket.
    Listener,
    /// The open lock file.
    Lock,
    /// The socket at which a successor asks.
    Control,
}

impl Ownership {
    /// Where successors ask, if any are allowed.
    pub(crate) fn control(&self) -> Option<BorrowedFd<'_>> {
        Some(self.control.as_ref()?.socket.as_fd())
    }

    /// What an [`Inheritance`] is made of, besides the listening socket.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.file().as_fd()
    }

    /// The ownership of `address`, and its socket, from what its owner has passed on. It is not
    /// ours yet.
    pub(crate) fn inherit(
        address: &Address,
        passed: Inheritance,
    ) -> Result<(Self, OwnedFd), Result<Mismatch, ClaimError>> {
        let io = |errno: Errno| Err(ClaimError::io(address, errno));
        let open = |address: &Address| {
            let path = address.path().unwrap_or("".as_ref());
            Place::open(address, path).map_err(Err)
        };
        let place = open(address)?;
        let control_place = open(&control_address(address).ok_or(Ok(Mismatch::Control))?)?;
        let table = diag::dump().unwrap_or_default();
        let bound = |socket: &OwnedFd, kind: Kind, place: &Place, what: Mismatch| {
            adopt::listener(socket.as_fd(), kind).map_err(|_| Ok(what))?;
            bound_file(socket, place, &table)
                .map_err(io)?
                .ok_or(Ok(what))
        };
        let file = bound(&passed.listener, address.kind(), &place, Mismatch::Listener)?;
        let control_file = bound(
            &passed.control,
            Kind::SeqPacket,
            &control_place,
            Mismatch::Control,
        )?;
        let lock = Lock::inherit(passed.lock, &place)
            .map_err(io)?
            .ok_or(Ok(Mismatch::Lock))?;
        let control = Control {
            place: control_place,
            file: Some(control_file),
            socket: passed.control,
        };
        let ownership = Self {
            place,
            lock,
            file: Some(file),
            control: Some(control),
            is_ours: false,
        };
        Ok((ownership, passed.listener))
    }

    /// Whether the files are still those that were bound and locked.
    pub(crate) fn is_intact(&self) -> bool {
        let now = self.place.look_at(&self.place.base);
        let is_there = now.is_ok_and(|now| now.map(|now| FileIdentity::of(&now)) == self.file);
        is_there && self.lock.is_current(&self.place) == Ok(true)
    }

    /// Makes it what a claim with these options would have made: the mode and the owner of the file,
    /// the backlog, and who the peers are told that they are connected to (`SO_PEERCRED` tells who
    /// called listen(2) last).
    pub(crate) fn settle(
        &self,
        address: &Address,
        options: &ClaimOptions,
        listener: impl AsFd,
    ) -> Result<(), ClaimError> {
        let (Some(file), Some(control)) = (self.file, &self.control) else {
            return Ok(());
        };
        access::settle(address, options, &self.place, &self.place.base, file)?;
        if let (Some(file), Some(address)) = (control.file, control_address(address)) {
            let options = ClaimOptions::default();
            access::settle(
                &address,
                &options,
                &control.place,
                &control.place.base,
                file,
            )?;
        }
        self.lock.settle();
        listen(listener, options.backlog)
            .and_then(|()| listen(&control.socket, CONTROL_BACKLOG as i32))
            .map_err(|errno| ClaimError::io(address, errno))
    }

    /// Whether the files are ours to remove.
    pub(crate) fn set_ours(&mut self, is_ours: bool) {
        self.is_ours = is_ours;
    }
}

/// The socket file at `place`, if it is the one that `socket` is bound to.
fn bound_file(
    socket: &OwnedFd,
    place: &Place,
    table: &[Entry],
) -> Result<Option<FileIdentity>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(&place.directory, &place.base, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Ok(None);
    }
    // sock_diag(7) has 32 bits of it.
    let inode = fstat(socket)?.st_ino as u32;
    let is_it =
        |entry: &Entry| entry.inode == inode && is_bound_to(entry, &file, &stat, &place.base);
    let is_bound = table.iter().any(is_it) || namespace::find_elsewhere(is_it).is_some();
    Ok(is_bound.then(|| FileIdentity::of(&stat)))
}
