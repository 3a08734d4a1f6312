//! The socket file of a running server, which is at the path, or at the displaced name while a tap stands
//! in front. A tap exchanges both files at once, so that it is always at one of the two.

use std::ffi::{OsStr, OsString};
#[cfg(feature = "tokio")]
use std::os::fd::OwnedFd;

#[cfg(feature = "tokio")]
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::displaced::displaced_base;
use super::place::{FileIdentity, Place};

/// How many times both names are looked at. In each round a tap may have come or gone.
const LOOKS: usize = 16;

/// How many times a file is unlinked that a tap may put elsewhere at the same time.
const ATTEMPTS: usize = 64;

impl Place {
    /// Opens this file of a server, under whichever of its names.
    #[cfg(feature = "tokio")]
    pub(crate) fn open_bound(&self, file: FileIdentity) -> Result<Option<OwnedFd>, Errno> {
        let found = self.find_bound(|_, stat| FileIdentity::of(stat) == file)?;
        Ok(found.map(|(file, _)| file))
    }

    /// The file of a server for which `is_it` holds, under whichever of its names.
    #[cfg(feature = "tokio")]
    pub(super) fn find_bound(
        &self,
        is_it: impl Fn(&OwnedFd, &Stat) -> bool,
    ) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        self.in_turn(|base| {
            let file = self.open_file(base)?;
            let stat = fstat(&file)?;
            Ok(is_it(&file, &stat).then_some((file, stat)))
        })
    }

    /// The name of this file of a server: that of the path, or the displaced one.
    pub(crate) fn name_of(&self, file: FileIdentity) -> Result<Option<OsString>, Errno> {
        self.in_turn(|base| {
            let found = self.look_at(base)?.ok_or(Errno::NOENT)?;
            Ok((FileIdentity::of(&found) == file).then(|| base.to_owned()))
        })
    }

    /// Unlinks this file of a server of ours, under whichever of its names. The lock of the path must be
    /// held, and the socket be open.
    ///
    /// If a tap exchanges the files between our look and unlink(2), the one that it has made is removed,
    /// which a tap expects, and then the server's, which has its other name.
    pub(super) fn unlink_bound(&self, file: FileIdentity) -> Result<(), Errno> {
        for _ in 0..ATTEMPTS {
            match self.name_of(file)? {
                Some(base) => self.unlink(&base, file)?,
                None => break,
            }
        }
        Ok(())
    }

    /// The first result of `look` at both names, which is `None` for another file.
    fn in_turn<T>(
        &self,
        look: impl Fn(&OsStr) -> Result<Option<T>, Errno>,
    ) -> Result<Option<T>, Errno> {
        let displaced = displaced_base(&self.base);
        let at_path = || match look(&self.base) {
            Err(Errno::NOENT) => Ok(None),
            found => found,
        };
        for _ in 0..LOOKS {
            if let Some(found) = at_path()? {
                return Ok(Some(found));
            }
            match look(&displaced) {
                Ok(None) => {}
                // No tap is there, and so long a name has no room for one. It may have restored the
                // path since our look at that.
                Err(Errno::NOENT | Errno::NAMETOOLONG) => return at_path(),
                found => return found,
            }
        }
        Ok(None)
    }
}
