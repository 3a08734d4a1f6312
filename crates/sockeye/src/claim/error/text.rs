//! What a [`ClaimError`] says: what was tried, what was found, what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Pid;

use super::{ClaimError, ClaimErrorKind};
use crate::address::quoted;
use crate::claim::unclear::UnclearReason;
use crate::claim::unreachable_parent::WORKING_DIRECTORY_REMOVED;
use crate::claim::{CONTROL_SUFFIX, LOCK_SUFFIX, displaced_path};
use crate::hint::{file_type_name, hint_for};
use crate::ids::Shown;

const STALE: &str = "a socket file is there but nobody listens on it (left behind by a server that was killed); remove it, or allow stale sockets to be replaced";
const MOUNT_POINT: &str = "nobody listens on the socket file there, but it is a bind mount of a single file, which no server can replace; unmount it, and mount its directory instead";
const NO_TAKEOVER: &str = "only the path of a stream or seqpacket socket can be handed over to a successor; give such a path, or start without a takeover";
const ALREADY_BOUND: &str = "it names a socket that is bound already; open it (Listener::open in the library), or give a path";
const SYMLINK: &str = "the path is a symbolic link, which is never followed or replaced; give the path it leads to, or choose another";

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address.quoted())?;
        match &self.kind {
            ClaimErrorKind::InUse { pid } => in_use(f, *pid),
            ClaimErrorKind::Displaced { pid } => self.displaced(f, *pid),
            ClaimErrorKind::Locked { pid } => self.locked(f, *pid),
            ClaimErrorKind::NotASocket(FileType::Symlink) => f.write_str(SYMLINK),
            ClaimErrorKind::NotASocket(file) => not_a_socket(f, *file),
            ClaimErrorKind::Stale => f.write_str(STALE),
            ClaimErrorKind::Unclear => self.unclear(f),
            ClaimErrorKind::LayerChanged => layer_changed(f),
            ClaimErrorKind::MountPoint => f.write_str(MOUNT_POINT),
            ClaimErrorKind::ParentMissing(directory) => parent_missing(f, directory),
            ClaimErrorKind::ParentRemoved(directory) => parent_removed(f, directory),
            ClaimErrorKind::ProcessDenies(link) => write!(f, "{link}"),
            ClaimErrorKind::ParentNotADirectory(path) => parent_not_a_directory(f, path),
            ClaimErrorKind::ParentDenies {
                directory,
                mode_and_owner,
            } => self.parent_denies(f, directory, *mode_and_owner),
            ClaimErrorKind::DirectoryReplaced { now } => self.directory_replaced(f, now.as_ref()),
            ClaimErrorKind::OwnerDenied { uid, gid } => self.owner_denied(f, *uid, *gid),
            ClaimErrorKind::AccessList => self.access_list(f),
            ClaimErrorKind::NotAMode { mode } => not_a_mode(f, *mode),
            ClaimErrorKind::ModeDenied { mode } => self.mode_denied(f, *mode),
            ClaimErrorKind::ModeRefused { found } => self.mode_refused(f, *found),
            ClaimErrorKind::NoSockets {
                directory,
                file_system,
                denied,
            } => self.no_sockets(f, directory, file_system.as_deref(), *denied),
            ClaimErrorKind::FileLost(stray) => self.file_lost(f, stray),
            ClaimErrorKind::NameTooLong { length, most } => write!(
                f,
                "the file name has {length} bytes, and with what is added to it for files beside it, such as .lock, a directory has no room for more than {most}; shorten it to {most}",
            ),
            ClaimErrorKind::ForeignLockFile(file) => self.foreign_lock_file(f, *file),
            ClaimErrorKind::LockDenied { owner } => self.lock_denied(f, *owner),
            ClaimErrorKind::ForeignControlFile { file, owner } => {
                self.foreign_control_file(f, *file, *owner)
            }
            ClaimErrorKind::NoTakeover => f.write_str(NO_TAKEOVER),
            ClaimErrorKind::AlreadyBound => f.write_str(ALREADY_BOUND),
            ClaimErrorKind::Io => write!(f, "{}; {}", self.reason(), hint_for(self.errno())),
        }
    }
}

fn in_use(f: &mut fmt::Formatter<'_>, pid: Option<Pid>) -> fmt::Result {
    f.write_str("a running server owns it")?;
    fmt_pid(f, pid)?;
    f.write_str("; stop that one or choose another address")
}

fn fmt_pid(f: &mut fmt::Formatter<'_>, pid: Option<Pid>) -> fmt::Result {
    match pid {
        Some(pid) => write!(f, " (pid {})", pid.as_raw_pid()),
        None => Ok(()),
    }
}

fn not_a_socket(f: &mut fmt::Formatter<'_>, file: FileType) -> fmt::Result {
    write!(
        f,
        "the path is {}, and only sockets are ever replaced; move it away or choose another path",
        file_type_name(file)
    )
}

fn layer_changed(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "whether a server uses the socket file there cannot be told: {}; remount the overlay, or choose another path",
        UnclearReason::LayerChanged
    )
}

fn parent_missing(f: &mut fmt::Formatter<'_>, directory: &Path) -> fmt::Result {
    let directory = quoted(directory);
    write!(
        f,
        "the directory {directory} does not exist; create it first"
    )
}

fn parent_removed(f: &mut fmt::Formatter<'_>, directory: &Path) -> fmt::Result {
    if directory.is_relative() {
        return f.write_str(WORKING_DIRECTORY_REMOVED);
    }
    write!(
        f,
        "the directory {} was removed; create it again, or choose another",
        quoted(directory)
    )
}

fn parent_not_a_directory(f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
    let path = quoted(path);
    write!(f, "{path} is not a directory; choose another path")
}

fn not_a_mode(f: &mut fmt::Formatter<'_>, mode: u32) -> fmt::Result {
    let digits = mode.to_string();
    let meant = u32::from_str_radix(&digits, 8).is_ok_and(|meant| meant <= 0o777);
    write!(
        f,
        "the mode {mode:#o} has bits beyond 0o777; write it in octal, as 0o{}",
        if meant { &digits } else { "660" }
    )
}

impl ClaimError {
    fn displaced(&self, f: &mut fmt::Formatter<'_>, pid: Option<Pid>) -> fmt::Result {
        let path = self.address.path().unwrap_or("".as_ref());
        f.write_str("a running server owns it")?;
        fmt_pid(f, pid)?;
        write!(
            f,
            ", whose socket file is {} since a tap was killed; put it back with sockeye tap --restore {}",
            quoted(&displaced_path(path)),
            self.address.shell_quoted()
        )
    }

    fn locked(&self, f: &mut fmt::Formatter<'_>, pid: Option<Pid>) -> fmt::Result {
        f.write_str("another process")?;
        fmt_pid(f, pid)?;
        write!(
            f,
            " holds its lock file {}: a server that is starting or stopping, or whose socket file was removed; stop that one or choose another address",
            self.beside(LOCK_SUFFIX)
        )
    }

    fn unclear(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a socket file is there, and whether a server still uses it cannot be told ({}); remove it if you know that none does",
            self.reason()
        )
    }

    fn parent_denies(
        &self,
        f: &mut fmt::Formatter<'_>,
        directory: &Path,
        mode_and_owner: Option<(u32, Option<u32>)>,
    ) -> fmt::Result {
        write!(f, "the directory {}", quoted(directory))?;
        if self.errno() == Some(Errno::ROFS) {
            return f.write_str(
                " is on a file system that is mounted read-only; choose a directory on another one, such as /run",
            );
        }
        if let Some((mode, owner)) = mode_and_owner {
            write!(f, " (mode {mode:04o}, owner uid {})", Shown(owner))?;
        }
        write!(
            f,
            " does not let uid {} make or replace files there ({}); run as its owner or choose a directory of your own",
            rustix::process::geteuid().as_raw(),
            self.reason()
        )
    }

    fn directory_replaced(&self, f: &mut fmt::Formatter<'_>, now: Option<&PathBuf>) -> fmt::Result {
        let directory = self.address.directory();
        write!(
            f,
            "the directory {} that its files were made in ",
            quoted(&directory)
        )?;
        match now {
            Some(now) if *now != directory => write!(
                f,
                "is {} now; move it back, or stop this server and start it again",
                quoted(now)
            ),
            Some(_) => f.write_str(
                "is hidden by another one; unmount that, or stop this server and start it again",
            ),
            None => f.write_str("was removed; stop this server and start it again"),
        }
    }

    fn owner_denied(
        &self,
        f: &mut fmt::Formatter<'_>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> fmt::Result {
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

    fn access_list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The list is read through /proc.
        if self.errno() == Some(Errno::NOENT) {
            return f.write_str(
                "/proc is not mounted, without which it cannot be told whether an access list (ACL) allows others than the mode does; mount it, or give the group no rights",
            );
        }
        write!(
            f,
            "the default access list (ACL) of {} allows others than the mode does, and cannot be removed from the socket file ({}); remove it there with setfacl -k, or choose another directory",
            quoted(&self.address.directory()),
            self.reason()
        )
    }

    fn mode_denied(&self, f: &mut fmt::Formatter<'_>, mode: u32) -> fmt::Result {
        write!(
            f,
            "the mode cannot be set to {mode:04o} ({}); look at what restricts this process (a filter of system calls, a security module), or choose a directory on another file system",
            self.reason()
        )
    }

    fn mode_refused(&self, f: &mut fmt::Formatter<'_>, found: u32) -> fmt::Result {
        write!(
            f,
            "the file system of {} gives the socket file mode {found:04o}, whatever is asked for; ask for that mode, or choose a directory on another file system",
            quoted(&self.address.directory()),
        )
    }

    fn no_sockets(
        &self,
        f: &mut fmt::Formatter<'_>,
        directory: &Path,
        file_system: Option<&str>,
        denied: bool,
    ) -> fmt::Result {
        let (directory, reason) = (quoted(directory), self.reason());
        let file_system = file_system.unwrap_or("of unknown type");
        if denied {
            write!(
                f,
                "the mode of the directory {directory} permits it, but its file system ({file_system}) or a security module (SELinux, AppArmor, Landlock) denies a socket there ({reason}); choose another directory, or look in the audit log"
            )
        } else {
            write!(
                f,
                "the file system of {directory} ({file_system}) cannot hold sockets ({reason}); choose a path on another file system, such as /run or /tmp"
            )
        }
    }

    fn file_lost(&self, f: &mut fmt::Formatter<'_>, stray: &super::StrayFile) -> fmt::Result {
        write!(
            f,
            "its file is not in {}: somebody removed it, or replaced a directory on the way in that instant, and {stray}; try again, in a directory that nobody else may change",
            quoted(&self.address.directory())
        )
    }

    fn foreign_lock_file(&self, f: &mut fmt::Formatter<'_>, file: FileType) -> fmt::Result {
        write!(
            f,
            "its lock file's place {} is taken by {} that is not a lock file of ours; move that away or choose another path",
            self.beside(LOCK_SUFFIX),
            file_type_name(file)
        )
    }

    fn lock_denied(&self, f: &mut fmt::Formatter<'_>, owner: Option<u32>) -> fmt::Result {
        write!(
            f,
            "its lock file {} belongs to uid {} and may not be opened ({}); run as that user, or have both files removed if no server uses them",
            self.beside(LOCK_SUFFIX),
            Shown(owner),
            self.reason()
        )
    }

    fn foreign_control_file(
        &self,
        f: &mut fmt::Formatter<'_>,
        file: FileType,
        owner: Option<u32>,
    ) -> fmt::Result {
        write!(
            f,
            "its control socket's place {} is taken by {} of uid {} that is not to be replaced ({}); have it removed, or choose a directory of your own",
            self.beside(CONTROL_SUFFIX),
            file_type_name(file),
            Shown(owner),
            self.reason()
        )
    }

    /// The file of that suffix beside the socket file.
    fn beside(&self, suffix: &str) -> impl fmt::Display {
        let path = self.address.path().unwrap_or("".as_ref());
        let mut file = path.as_os_str().to_owned();
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
