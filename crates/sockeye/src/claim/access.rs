//! Who may connect: owner, mode and access control list of a socket file.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Uid, XattrFlags, chmod, chownat, fstat, getxattr, removexattr,
    setxattr,
};
use rustix::io::Errno;

use super::ClaimOptions;
use super::error::{ClaimError, ClaimErrorKind};
use super::place::{FileIdentity, Place, is_own};
use crate::address::Address;
use crate::{ids, socket};

/// acl(5): what a file inherits from the default list of its directory, beside its mode.
pub(super) const ACCESS_LIST: &str = "system.posix_acl_access";

/// `XATTR_SIZE_MAX` of linux/limits.h.
const MOST_OF_LIST: usize = 65_536;

/// Who may connect to a socket file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileAccess {
    /// The permission bits.
    pub(crate) mode: u32,
    /// The owner; `None` leaves it as it is.
    pub(crate) uid: Option<u32>,
    /// The group; `None` leaves it as it is.
    pub(crate) gid: Option<u32>,
    /// The access list, as the kernel keeps it; `None` for a file that has none.
    pub(crate) list: Option<Vec<u8>>,
}

impl FileAccess {
    /// What a claim asks for.
    pub(super) fn asked(options: &ClaimOptions) -> Self {
        Self {
            mode: options.mode,
            uid: options.uid,
            gid: options.gid,
            list: None,
        }
    }

    /// What an open file has (`O_PATH` is enough). An owner or a group without a mapping in our user
    /// namespace is `None`.
    #[cfg(feature = "tokio")]
    pub(crate) fn of(file: &OwnedFd) -> Result<Self, Errno> {
        let stat = fstat(file)?;
        let mode = stat.st_mode & 0o7777;
        Ok(Self {
            mode,
            uid: ids::uid(stat.st_uid),
            gid: ids::gid(stat.st_gid),
            list: access_list(file, mode)?,
        })
    }

    /// Gives the file of a socket exactly this owner, mode and list, through an
    /// fd of the file itself: by name, whoever may write the directory could put a link in its place. At
    /// no instant may anybody connect whom neither the old nor the new mode allows.
    pub(crate) fn apply(&self, address: &Address, file: &OwnedFd) -> Result<(), ClaimError> {
        let io = |errno: Errno| ClaimError::io(address, errno);
        let path = socket::path_of(file);
        let mut stat = fstat(file).map_err(io)?;
        let chmod = |mode| {
            chmod(&path, Mode::from_raw_mode(mode))
                .map_err(|errno| mode_error(address, self.mode, errno))
        };
        let listed =
            |errno: Errno| ClaimError::new(address, ClaimErrorKind::AccessList).with_source(errno);
        let changes_owner = self.has_other_owner(&stat);
        let list = access_list(file, self.mode).map_err(listed)?;
        let changes_list = list != self.list;
        if changes_owner || changes_list {
            // The group's bits of a file with a list are the mask of the list, and without the list
            // they are the group's again. What a file that was taken over lets its old group do is not
            // meant for the new one, nor is a list.
            let changes_group = changes_owner || self.list.is_some();
            let for_both = if changes_group { 0o700 } else { 0o777 };
            let at_first = stat.st_mode & self.mode & for_both;
            if stat.st_mode & 0o7777 != at_first {
                chmod(at_first)?;
            }
        }
        if list.is_some() && changes_list {
            removexattr(&path, ACCESS_LIST).map_err(listed)?;
        }
        if changes_owner {
            let (uid, gid) = (self.uid.map(Uid::from_raw), self.gid.map(Gid::from_raw));
            chownat(file, "", uid, gid, AtFlags::EMPTY_PATH).map_err(|errno| match errno {
                Errno::PERM => self.owner_denied(address).with_source(errno),
                errno => io(errno),
            })?;
            stat = fstat(file).map_err(io)?;
        }
        if let Some(list) = self.list.as_ref().filter(|_| changes_list) {
            // This changes the mode, too: the owner's and the others' bits are entries of the list.
            setxattr(&path, ACCESS_LIST, list, XattrFlags::empty()).map_err(listed)?;
            stat = fstat(file).map_err(io)?;
        }
        if stat.st_mode & 0o7777 != self.mode {
            chmod(self.mode)?;
        }
        self.verify(address, file, changes_list)
    }

    /// [`Self::apply`] to the file at `base`, if it is the one that was bound.
    pub(crate) fn apply_at(
        &self,
        address: &Address,
        place: &Place,
        base: &OsStr,
        bound: FileIdentity,
    ) -> Result<(), ClaimError> {
        let io = |errno: Errno| ClaimError::io(address, errno);
        let file = place.open_file(base).map_err(io)?;
        if FileIdentity::of(&fstat(&file).map_err(io)?) != bound {
            let kind = ClaimErrorKind::InUse { pid: None };
            return Err(ClaimError::new(address, kind));
        }
        self.apply(address, &file)
    }

    /// Some file systems report success and change nothing.
    fn verify(
        &self,
        address: &Address,
        file: &OwnedFd,
        changes_list: bool,
    ) -> Result<(), ClaimError> {
        let fail = |kind| Err(ClaimError::new(address, kind));
        let now = fstat(file).map_err(|errno| ClaimError::io(address, errno))?;
        if self.has_other_owner(&now) {
            return Err(self.owner_denied(address));
        }
        let found = now.st_mode & 0o7777;
        if found != self.mode {
            return fail(ClaimErrorKind::ModeRefused { found });
        }
        if !changes_list {
            return Ok(());
        }
        match access_list(file, self.mode) {
            Ok(list) if list == self.list => Ok(()),
            Ok(_) => fail(ClaimErrorKind::AccessList),
            Err(errno) => {
                Err(ClaimError::new(address, ClaimErrorKind::AccessList).with_source(errno))
            }
        }
    }

    fn has_other_owner(&self, stat: &Stat) -> bool {
        let differs = |asked: Option<u32>, found| asked.is_some() && asked != found;
        differs(self.uid, ids::uid(stat.st_uid)) || differs(self.gid, ids::gid(stat.st_gid))
    }

    fn owner_denied(&self, address: &Address) -> ClaimError {
        let (uid, gid) = (self.uid, self.gid);
        ClaimError::new(address, ClaimErrorKind::OwnerDenied { uid, gid })
    }
}

/// Why the mode could not be set: a filter of system calls, a security module and some file systems
/// refuse that even to the owner.
pub(super) fn mode_error(address: &Address, mode: u32, errno: Errno) -> ClaimError {
    match errno {
        Errno::PERM | Errno::ACCESS => {
            ClaimError::new(address, ClaimErrorKind::ModeDenied { mode }).with_source(errno)
        }
        errno => ClaimError::io(address, errno),
    }
}

/// Write permission for us, the owner of a socket file; withdrawn when dropped. No other user gains
/// anything by it.
pub(super) struct OwnerAccess<'a> {
    file: &'a OwnedFd,
    before: Mode,
}

impl<'a> OwnerAccess<'a> {
    /// `None` where the file is another user's, or it is not its mode that denies.
    pub(super) fn to(file: &'a OwnedFd) -> Option<Self> {
        let stat = fstat(file).ok()?;
        let before = Mode::from_raw_mode(stat.st_mode & 0o7777);
        if before.contains(Mode::WUSR) || !is_own(file, &stat) {
            return None;
        }
        chmod(socket::path_of(file), before | Mode::WUSR).ok()?;
        Some(Self { file, before })
    }
}

impl Drop for OwnerAccess<'_> {
    fn drop(&mut self) {
        // Not where somebody has changed the mode meanwhile.
        let now = fstat(self.file).map(|now| Mode::from_raw_mode(now.st_mode & 0o7777));
        if now == Ok(self.before | Mode::WUSR) {
            let _ = chmod(socket::path_of(self.file), self.before);
        }
    }
}

/// The list of a file, which may allow somebody whom the mode does not.
fn access_list(file: &OwnedFd, mode: u32) -> Result<Option<Vec<u8>>, Errno> {
    let path = socket::path_of(file);
    let read = || {
        // Most files have none.
        getxattr(&path, ACCESS_LIST, &mut [0; 0])?;
        let mut list = vec![0; MOST_OF_LIST];
        let size = getxattr(&path, ACCESS_LIST, list.as_mut_slice())?;
        list.truncate(size);
        Ok(list)
    };
    match read() {
        Ok(list) => Ok(Some(list)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        // /proc is not mounted. The mask of a list is the group's bits.
        Err(Errno::NOENT) if mode & 0o070 == 0 && !Path::new("/proc/self").exists() => Ok(None),
        Err(errno) => Err(errno),
    }
}
