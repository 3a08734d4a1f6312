//! [`ClaimError`]: why an address could not be claimed.

mod stray;

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Pid;

pub use stray::StrayFile;

use super::doubt::Doubt;
use super::fault::WORKING_DIRECTORY_REMOVED;
use super::place::parent_of;
use super::process_link::ProcessLink;
use super::words::{self, file_type_name, hint_for};
use super::{CONTROL_SUFFIX, LOCK_SUFFIX};
use crate::address::{Address, quoted};
use crate::ids::Shown;

/// Why an address could not be claimed: what was tried, what was found, what to do.
#[derive(Debug)]
pub struct ClaimError {
    address: Address,
    kind: ClaimErrorKind,
    pub(super) source: Option<io::Error>,
}

/// What stands in the way of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimErrorKind {
    /// A live server owns the address.
    InUse {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// Another process holds the lock file, and no server can be seen: it is starting or stopping,
    /// or its socket file was removed.
    Locked {
        /// That process, where it can be known.
        pid: Option<Pid>,
    },
    /// Something that is not a socket stands at the path.
    NotASocket(FileType),
    /// A stale socket file is there, and [`IfExists::Fail`](super::IfExists::Fail) was asked for.
    Stale,
    /// A socket file is there, and whether a server uses it cannot be told.
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
    /// The directory in which the files of a live server are was moved, removed or hidden, so that
    /// its path does not lead to them any more.
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
        /// How many it may have.
        most: usize,
    },
    /// The lock file is another user's, who may own the path, or have left both behind.
    LockDenied {
        /// That user; `None` where it has no mapping in our user namespace.
        owner: Option<u32>,
    },
    /// The lock file's name belongs to a file that is not ours.
    ForeignLockFile(FileType),
    /// Something stands in the place of the control socket, at which a successor would ask, and is not
    /// to be replaced: no socket, or another user's.
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
    pub(super) fn new(address: &Address, kind: ClaimErrorKind) -> Self {
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

    fn lock_file(&self) -> impl fmt::Display {
        self.beside(LOCK_SUFFIX)
    }

    fn beside(&self, suffix: &str) -> impl fmt::Display {
        let mut file = self
            .address
            .path()
            .unwrap_or("".as_ref())
            .as_os_str()
            .to_owned();
        file.push(suffix);
        fmt::from_fn(move |f| write!(f, "{}", quoted(&file)))
    }

    fn reason(&self) -> &dyn fmt::Display {
        match &self.source {
            Some(source) => source,
            None => &"unknown reason",
        }
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address.quoted())?;
        match &self.kind {
            ClaimErrorKind::InUse { pid: Some(pid) } => write!(
                f,
                "a live server owns it (pid {}); stop that one or choose another address",
                pid.as_raw_pid()
            ),
            ClaimErrorKind::InUse { pid: None } => f.write_str(
                "a live server owns it; stop that one or choose another address",
            ),
            ClaimErrorKind::Locked { pid } => {
                f.write_str("another process")?;
                if let Some(pid) = pid {
                    write!(f, " (pid {})", pid.as_raw_pid())?;
                }
                write!(
                    f,
                    " holds its lock file {}: a server that is starting or stopping, or whose socket file was removed; stop that one or choose another address",
                    self.lock_file()
                )
            }
            ClaimErrorKind::NotASocket(FileType::Symlink) => f.write_str(
                "the path is a symbolic link, which is never followed or replaced; give the path it leads to, or choose another",
            ),
            ClaimErrorKind::NotASocket(file) => write!(
                f,
                "the path is {}, and only sockets are ever replaced; move it away or choose another path",
                file_type_name(*file)
            ),
            ClaimErrorKind::Stale => f.write_str(
                "a socket file is there but nobody listens on it (left behind by a server that was killed); remove it, or allow stale sockets to be replaced",
            ),
            ClaimErrorKind::Unclear => write!(
                f,
                "a socket file is there, and whether a server still uses it cannot be told ({}); remove it if you know that none does",
                self.reason()
            ),
            ClaimErrorKind::LayerChanged => write!(
                f,
                "whether a server uses the socket file there cannot be told: {}; mount the overlay anew, or choose another path",
                Doubt::LayerChanged
            ),
            ClaimErrorKind::MountPoint => f.write_str(
                "nobody listens on the socket file there, but it is a bind mount of a single file, which no server can replace; unmount it, and mount its directory instead",
            ),
            ClaimErrorKind::ParentMissing(directory) => write!(
                f,
                "the directory {} does not exist; create it first",
                quoted(directory)
            ),
            ClaimErrorKind::ParentRemoved(directory) if directory.is_relative() => {
                f.write_str(WORKING_DIRECTORY_REMOVED)
            }
            ClaimErrorKind::ParentRemoved(directory) => write!(
                f,
                "the directory {} was removed; create it again, or choose another",
                quoted(directory)
            ),
            ClaimErrorKind::ProcessDenies(link) => write!(f, "{link}"),
            ClaimErrorKind::ParentNotADirectory(path) => write!(
                f,
                "{} is not a directory; choose another path",
                quoted(path)
            ),
            ClaimErrorKind::ParentDenies {
                directory,
                mode_and_owner,
            } => {
                write!(f, "the directory {}", quoted(directory))?;
                if self.errno() == Some(Errno::ROFS) {
                    return f.write_str(
                        " is on a file system that is mounted read-only; choose a directory on another one, such as /run",
                    );
                }
                if let Some((mode, owner)) = mode_and_owner {
                    write!(f, " (mode {mode:04o}, owner uid {})", Shown(*owner))?;
                }
                write!(
                    f,
                    " does not let uid {} make or replace files there ({}); run as its owner or choose a directory of your own",
                    rustix::process::geteuid().as_raw(),
                    self.reason()
                )
            }
            ClaimErrorKind::DirectoryReplaced { now } => {
                let directory = parent_of(&self.address);
                write!(f, "the directory {} that its files were made in ", quoted(&directory))?;
                match now {
                    Some(now) if *now != directory => write!(
                        f,
                        "is {} now; move it back, or stop this server and start it anew",
                        quoted(now)
                    ),
                    Some(_) => f.write_str(
                        "is hidden by another one; unmount that, or stop this server and start it anew",
                    ),
                    None => f.write_str("was removed; stop this server and start it anew"),
                }
            }
            ClaimErrorKind::OwnerDenied { uid, gid } => {
                f.write_str("its owner may not be changed to")?;
                if let Some(uid) = uid {
                    write!(f, " uid {uid}")?;
                }
                if let Some(gid) = gid {
                    write!(f, " gid {gid}")?;
                }
                write!(
                    f,
                    " ({}); run as root, or choose yourself and a group of yours",
                    self.reason()
                )
            }
            // The list is asked for through /proc.
            ClaimErrorKind::AccessList if self.errno() == Some(Errno::NOENT) => f.write_str(
                "/proc is not mounted, without which it cannot be told whether an access list (ACL) lets others in than the mode does; mount it, or give the group no rights",
            ),
            ClaimErrorKind::AccessList => write!(
                f,
                "the default access list (ACL) of {} lets others in than the mode does, and cannot be removed from the socket file ({}); remove it there with setfacl -k, or choose another directory",
                quoted(&parent_of(&self.address)),
                self.reason()
            ),
            ClaimErrorKind::ModeDenied { mode } => write!(
                f,
                "the mode cannot be set to {mode:04o} ({}); look at what restricts this process (a filter of system calls, a security module), or choose a directory on another file system",
                self.reason()
            ),
            ClaimErrorKind::ModeRefused { found } => write!(
                f,
                "the file system of {} gives the socket file mode {found:04o}, whatever is asked for; ask for that mode, or choose a directory on another file system",
                quoted(&parent_of(&self.address)),
            ),
            ClaimErrorKind::NoSockets {
                directory,
                file_system,
                denied,
            } => {
                let file_system = file_system.as_deref().unwrap_or("of unknown type");
                words::no_sockets(f, directory, file_system, *denied, self.reason())
            }
            ClaimErrorKind::FileLost(stray) => {
                write!(
                    f,
                    "its file is not in {}: somebody removed it, or replaced a directory on the way in that instant, and {stray}; try again, in a directory that nobody else may change",
                    quoted(&parent_of(&self.address))
                )
            }
            ClaimErrorKind::NameTooLong { length, most } => write!(
                f,
                "the file name has {length} bytes, and with what is added to it for files beside it, such as .lock, a directory has no room for more than {most}; shorten it to {most}",
            ),
            ClaimErrorKind::ForeignLockFile(file) => write!(
                f,
                "its lock file's place {} is taken by {} that is not a lock file of ours; move that away or choose another path",
                self.lock_file(),
                file_type_name(*file)
            ),
            ClaimErrorKind::LockDenied { owner } => write!(
                f,
                "its lock file {} belongs to uid {} and may not be opened ({}); run as that user, or have both files removed if no server uses them",
                self.lock_file(),
                Shown(*owner),
                self.reason()
            ),
            ClaimErrorKind::ForeignControlFile { file, owner } => write!(
                f,
                "its control socket's place {} is taken by {} of uid {} that is not to be replaced ({}); have it removed, or choose a directory of your own",
                self.beside(CONTROL_SUFFIX),
                file_type_name(*file),
                Shown(*owner),
                self.reason()
            ),
            ClaimErrorKind::NoTakeover => f.write_str(
                "only the path of a stream or seqpacket socket can be handed over to a successor; give such a path, or start without a takeover",
            ),
            ClaimErrorKind::AlreadyBound => f.write_str(
                "it names a socket that is bound already; adopt it as a listener, or give a path",
            ),
            ClaimErrorKind::Io => write!(f, "{}; {}", self.reason(), hint_for(self.errno())),
        }
    }
}

impl std::error::Error for ClaimError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
