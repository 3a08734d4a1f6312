//! [`ClaimError`]: why an address could not be claimed.

mod stray;
mod text;

use std::io;
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Pid;

pub use stray::StrayFile;

use super::process_link::ProcessLink;
use crate::address::Address;

/// Why an address could not be claimed: what was tried, what was found, what to do.
pub struct ClaimError {
    address: Address,
    kind: ClaimErrorKind,
    pub(super) source: Option<io::Error>,
}

crate::error_debug::debug_as_display!(ClaimError);

/// What prevents a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimErrorKind {
    /// A running server owns the address.
    InUse {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// A running server's socket file has the name that a tap has given it ([`displaced_path`]), and
    /// the tap was killed before it could put it back.
    ///
    /// [`displaced_path`]: super::displaced_path
    Displaced {
        /// The server's process, where that can be known.
        pid: Option<Pid>,
    },
    /// Another process holds the lock file, and no server can be seen: it is starting or stopping,
    /// or its socket file was removed.
    Locked {
        /// That process, where it can be known.
        pid: Option<Pid>,
    },
    /// The file at the path is not a socket.
    NotASocket(FileType),
    /// A stale socket file is there, and [`IfExists::Fail`](super::IfExists::Fail) was asked for.
    Stale,
    /// A socket file is there, and whether a server uses it is unknown.
    Unclear,
    /// A layer below overlayfs was changed while it is mounted, and the socket file that it shows was
    /// removed there: a server may have another one by now.
    LayerChanged,
    /// A stale socket file is mounted at the path (a bind mount of a file), so it cannot be replaced.
    MountPoint,
    /// A parent directory does not exist.
    ParentMissing(PathBuf),
    /// The directory was removed since it was opened: `.` and all relative paths where it is the
    /// working directory.
    ParentRemoved(PathBuf),
    /// A parent is something else than a directory.
    ParentNotADirectory(PathBuf),
    /// A parent directory may not be entered or written.
    ParentDenies {
        /// The directory.
        directory: PathBuf,
        /// Its permission bits and its owner's uid, where we may see them; an owner without a
        /// mapping in our user namespace is `None`.
        mode_and_owner: Option<(u32, Option<u32>)>,
    },
    /// The way leads through a link of `/proc` that may not be followed.
    ProcessDenies(ProcessLink),
    /// The directory of a running server's files was moved, removed or hidden: its path does not lead to
    /// them any more.
    DirectoryReplaced {
        /// Where it is now, if it is not removed and that can be known.
        now: Option<PathBuf>,
    },
    /// The socket may not be given to this owner.
    OwnerDenied {
        /// The user id asked for.
        uid: Option<u32>,
        /// The group id asked for.
        gid: Option<u32>,
    },
    /// The directory hands an access control list down to the socket file (acl(5)), which lets
    /// others in than the mode does, and it cannot be removed.
    AccessList,
    /// The mode asked for has more than permission bits, most likely since it was written in decimal.
    NotAMode {
        /// The mode asked for.
        mode: u32,
    },
    /// The mode of the socket file may not be set.
    ModeDenied {
        /// The mode asked for.
        mode: u32,
    },
    /// The file system gives the socket file another mode than the one asked for.
    ModeRefused {
        /// That mode.
        found: u32,
    },
    /// The file system cannot hold sockets: bind(2) is refused where other files can be made.
    NoSockets {
        /// The directory.
        directory: PathBuf,
        /// The type of its file system, as mount(8) names it, where that can be known.
        file_system: Option<Box<str>>,
        /// Whether it may also be that a security module denies them.
        denied: bool,
    },
    /// bind(2) has made the socket file, and it is not in the directory of the path: a directory on
    /// the way was replaced in that instant, or somebody removed the file.
    FileLost(StrayFile),
    /// The last part of the path is too long for a lock file beside it.
    NameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// The lock file belongs to another user, who may own the path or have left both files behind.
    LockDenied {
        /// That user; `None` where it has no mapping in our user namespace.
        owner: Option<u32>,
    },
    /// At the path of the lock file is a file that is not a lock file of ours.
    ForeignLockFile(FileType),
    /// At the path of the control socket is a file that is not to be replaced: no socket, or another
    /// user's.
    ForeignControlFile {
        /// What it is.
        file: FileType,
        /// Whose it is; `None` for a user without a mapping in our user namespace.
        owner: Option<u32>,
    },
    /// [`ClaimOptions::takeover`](super::ClaimOptions::takeover) was asked for, and only the path of
    /// a stream or seqpacket socket can be handed over.
    NoTakeover,
    /// `fd:` and `systemd:` addresses name sockets that are bound already.
    AlreadyBound,
    /// A system call failed.
    Io,
}

impl ClaimError {
    pub(crate) fn new(address: &Address, kind: ClaimErrorKind) -> Self {
        Self {
            address: address.clone(),
            kind,
            source: None,
        }
    }

    pub(super) fn with_source(mut self, source: impl Into<io::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn io(address: &Address, source: impl Into<io::Error>) -> Self {
        Self::new(address, ClaimErrorKind::Io).with_source(source)
    }

    /// What stands in the way.
    #[must_use]
    pub fn kind(&self) -> &ClaimErrorKind {
        &self.kind
    }

    /// The address that was to be claimed.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(self.source.as_ref()?)
    }
}

impl std::error::Error for ClaimError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
