//! Ownership of a path, received from a predecessor and checked before it is used.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FileType, Gid, MemfdFlags, Stat, Uid, fchown, fstat, memfd_create};
use rustix::io::Errno;
use rustix::net::listen;

use super::lock::Lock;
use super::ownership::{Control, Ownership};
use super::place::{FileIdentity, Place};
use super::{
    CONTROL_BACKLOG, ClaimError, ClaimErrorKind, ClaimOptions, FileAccess, control_address,
};
use crate::address::{Address, Kind};
use crate::adopt::{self, AdoptError};
use crate::ids;
use crate::inspect::diag::{self, DiagEntry};
use crate::inspect::{is_bound_to, namespace};

/// The fds that the owner of a path passes on.
pub(crate) struct Inheritance {
    pub(crate) listener: OwnedFd,
    pub(crate) lock: OwnedFd,
    pub(crate) control: OwnedFd,
}

/// Which of the passed fds is not the one of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The listening socket.
    Listener,
    /// The listening socket, which is of this other kind.
    Kind(Kind),
    /// The open lock file.
    Lock,
    /// The socket at which a successor asks.
    Control,
}

impl Ownership {
    /// Where successors ask, if any are allowed, and its file.
    pub(crate) fn control(&self) -> Option<(BorrowedFd<'_>, PathBuf)> {
        let Control { place, socket, .. } = self.control.as_ref()?;
        Some((socket.as_fd(), place.through_descriptor(&place.base)))
    }

    /// How long a successor that is ready may take to serve, if that was set.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.options.patience()
    }

    /// What an [`Inheritance`] is made of, besides the listening socket.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.file().as_fd()
    }

    /// The ownership of `address`, and its socket, from what its owner has passed on. It is not
    /// ours yet.
    pub(crate) fn inherit(
        address: &Address,
        options: &ClaimOptions,
        passed: Inheritance,
    ) -> Result<(Self, OwnedFd), Result<Mismatch, ClaimError>> {
        let io = |errno: Errno| Err(ClaimError::io(address, errno));
        let open = |address: &Address| {
            let path = address.path().unwrap_or("".as_ref());
            Place::open(address, path).map_err(Err)
        };
        let place = open(address)?;
        let control_place = open(&control_address(address).ok_or(Ok(Mismatch::Control))?)?;
        let table = diag::dump().map_err(|error| Err(ClaimError::io(address, error)))?;
        let bound = |socket: &OwnedFd, kind: Kind, place: &Place, what: Mismatch| {
            adopt::listener(socket.as_fd(), Some(kind)).map_err(|error| match error {
                AdoptError::WrongKind {
                    actual: Some(actual),
                    ..
                } if what == Mismatch::Listener => Ok(Mismatch::Kind(actual)),
                _ => Ok(what),
            })?;
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
            address: address.clone(),
            options: options.clone(),
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
        let is_there = |file| {
            self.place
                .open_bound(file)
                .is_ok_and(|found| found.is_some())
        };
        self.file.is_some_and(is_there) && self.lock.is_current(&self.place) == Ok(true)
    }

    /// The owner and the group that a claim would give the file.
    fn owner_to_be(&self) -> (Option<u32>, Option<u32>) {
        let (uid, gid) = (self.options.uid, self.options.gid);
        let gid = gid.or_else(|| self.place.group_of_new_files());
        (uid.or_else(ids::own_uid), gid)
    }

    /// Checks whether we may give the file its owner, without changing it: a file of our own that has no
    /// name is given that owner.
    pub(crate) fn check_owner(&self) -> Result<(), ClaimError> {
        let Some(now) = self.access() else {
            return Ok(());
        };
        let (uid, gid) = self.owner_to_be();
        let (uid, gid) = (
            uid.filter(|uid| now.uid != Some(*uid)),
            gid.filter(|gid| now.gid != Some(*gid)),
        );
        let Ok(file) = memfd_create("owner", MemfdFlags::CLOEXEC) else {
            return Ok(());
        };
        match fchown(&file, uid.map(Uid::from_raw), gid.map(Gid::from_raw)) {
            Err(Errno::PERM) => {
                let kind = ClaimErrorKind::OwnerDenied { uid, gid };
                Err(ClaimError::new(&self.address, kind).with_source(Errno::PERM))
            }
            _ => Ok(()),
        }
    }

    /// Gives the files the mode and the owner that a claim would have given them.
    pub(crate) fn apply_mode_and_owner(&self) -> Result<(), ClaimError> {
        let (uid, gid) = self.owner_to_be();
        self.restore(&FileAccess {
            uid,
            gid,
            ..FileAccess::asked(&self.options)
        })?;
        let control = self.control.as_ref().zip(control_address(&self.address));
        if let Some((control, address)) = control
            && let Some(file) = control.file
        {
            let (access, place) = (FileAccess::asked(&ClaimOptions::default()), &control.place);
            access.apply_at(&address, place, &place.base, file)?;
        }
        self.lock.settle();
        Ok(())
    }

    /// Makes us the owner of the files beside the socket, once no predecessor of another user can need
    /// them back. Where that fails they serve as they are.
    pub(crate) fn settle_owners(&mut self) {
        if let Some(Control { place, file, .. }) = &self.control
            && let (Some(file), Some(address)) = (*file, control_address(&self.address))
        {
            let options = ClaimOptions::default().owner(ids::own_uid(), place.group_of_new_files());
            let access = FileAccess::asked(&options);
            let _ = access.apply_at(&address, place, &place.base, file);
        }
        self.lock.settle_owner(self.place.group_of_new_files());
    }

    /// The mode and the owner that the file has now.
    pub(crate) fn access(&self) -> Option<FileAccess> {
        let file = self.place.open_bound(self.file?).ok()??;
        let found = fstat(&file).ok()?;
        Some(FileAccess {
            mode: found.st_mode & 0o777,
            uid: ids::uid(found.st_uid),
            gid: ids::gid(found.st_gid),
            list: None,
        })
    }

    /// Gives the file back the mode and the owner that it had before a successor changed them.
    pub(crate) fn restore(&self, access: &FileAccess) -> Result<(), ClaimError> {
        let Some(bound) = self.file else {
            return Ok(());
        };
        match self.place.open_bound(bound) {
            Ok(Some(file)) => access.apply(&self.address, &file),
            // The path is not ours any more.
            Ok(None) => {
                let kind = ClaimErrorKind::InUse { pid: None };
                Err(ClaimError::new(&self.address, kind))
            }
            Err(errno) => Err(ClaimError::io(&self.address, errno)),
        }
    }

    /// Calls listen(2) again: the backlog is that of the options, and `SO_PEERCRED` of clients shows us
    /// (it is the process that called listen(2) last).
    pub(crate) fn listen(&self, listener: impl AsFd) -> Result<(), Errno> {
        listen(listener, self.options.backlog)?;
        match &self.control {
            Some(control) => listen(&control.socket, CONTROL_BACKLOG as i32),
            None => Ok(()),
        }
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
    table: &[DiagEntry],
) -> Result<Option<FileIdentity>, Errno> {
    // sock_diag(7) has 32 bits of it.
    let inode = fstat(socket)?.st_ino as u32;
    let is_ours = |file: &OwnedFd, stat: &Stat| {
        let is_it =
            |entry: &DiagEntry| entry.inode == inode && is_bound_to(entry, file, stat, &place.base);
        FileType::from_raw_mode(stat.st_mode) == FileType::Socket
            && (table.iter().any(is_it) || namespace::elsewhere().any(|entry| is_it(&entry)))
    };
    let found = place.find_bound(is_ours)?;
    Ok(found.map(|(_, stat)| FileIdentity::of(&stat)))
}
