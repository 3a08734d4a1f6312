//! [`Probe`]: whether the socket at a path is alive, stale or absent.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, connect};
use rustix::process::Pid;

use super::access::OwnerAccess;
use super::displaced::displaced_base;
use super::place::{FileIdentity, Place};
use super::unclear::{ProbedFile, UnclearReason};
use crate::address::Kind;
use crate::inspect::diag::{self, DiagEntry};
use crate::inspect::lookup::Lookup;
use crate::inspect::{is_bound_to, procfs};
use crate::{ids, socket};

/// What was found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// Nothing.
    Absent,
    /// A stale socket file: it is proven that no socket is bound to it any more. Connections that were
    /// accepted there do not need it.
    Stale,
    /// A socket is bound to it: of a server that listens, is about to, or is too busy to answer, or of a
    /// client that has bound this name.
    Live {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// Something else than a socket. A symbolic link is not followed.
    NotASocket(FileType),
    /// A socket file at which connect(2) is refused, which does not prove that it is stale.
    Unclear(UnclearReason),
    /// Unknown, since a system call failed with this error.
    Unknown(Errno),
}

/// Probes a path; returns an fd of the socket file too, whatever its state.
///
/// First by inode in sock_diag(7), then with connect(2) of a datagram socket, which reaches servers
/// of other network namespaces too. Neither is noticed by a server that accepts connections.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself is of one lifetime only"
)]
pub(super) fn path(place: &Place, lookup: &Lookup) -> (Probe, Option<OwnedFd>) {
    find(place, &place.base, lookup, |found| found.unclear_reason())
}

/// As [`path`], under the lock. A file of our own whose mode keeps even us from asking (0400) lets
/// its owner in meanwhile.
pub(super) fn path_of_owner(place: &Place) -> (Probe, Option<OwnedFd>) {
    let lookup = Lookup::default();
    let found = path(place, &lookup);
    if let (Probe::Unknown(Errno::ACCESS), Some(file)) = &found
        && let Some(_access) = OwnerAccess::to(file)
    {
        return path(place, &lookup);
    }
    found
}

/// As [`path`], where only a visible server matters: a refused connect counts as proof that the file
/// is stale, which saves a look at all sockets.
pub(super) fn at_a_glance(place: &Place) -> Probe {
    find(place, &place.base, &Lookup::default(), |_| None).0
}

/// The process of a running server whose socket file is at its displaced name, if there is one. Under
/// the lock, and where the file at the path is stale or absent, the tap that has put it there was
/// killed.
pub(super) fn displaced(place: &Place, lookup: &Lookup) -> Option<Option<Pid>> {
    let base = displaced_base(&place.base);
    // Mostly there is none.
    let stat = place.look_at(&base).ok()??;
    let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    // Anybody may bind this name in /tmp, and must not keep others from theirs. The file that a tap leaves
    // at the path has the owner of the server's.
    let at_path = place.look_at(&place.base).ok()?;
    let at_path = at_path.map(|found| ids::uid(found.st_uid));
    let trusted = [Some(Some(0)), Some(ids::own_uid()), at_path];
    let is_of_server = is_socket && trusted.contains(&Some(ids::uid(stat.st_uid)));
    match is_of_server.then(|| find(place, &base, lookup, |_| None).0)? {
        Probe::Live { pid } => Some(pid),
        _ => None,
    }
}

fn find(
    place: &Place,
    base: &OsStr,
    lookup: &Lookup,
    reason: impl Fn(&ProbedFile<'_>) -> Option<UnclearReason>,
) -> (Probe, Option<OwnedFd>) {
    let found = match place.open_file(base) {
        Ok(file) => rustix::fs::fstat(&file).map(|stat| (file, stat)),
        Err(Errno::NOENT) => return (Probe::Absent, None),
        Err(errno) => Err(errno),
    };
    match found {
        Ok((file, stat)) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => {
                let name = place.bindable_as(base);
                let found = ProbedFile {
                    file: &file,
                    stat: &stat,
                    // What the server has bound.
                    base: &place.base,
                    name: name.as_deref(),
                    lookup,
                };
                (socket_file(&found, reason), Some(file))
            }
            other => (Probe::NotASocket(other), None),
        },
        Err(errno) => (Probe::Unknown(errno), None),
    }
}

fn socket_file(
    found: &ProbedFile<'_>,
    reason: impl Fn(&ProbedFile<'_>) -> Option<UnclearReason>,
) -> Probe {
    let lookup = found.lookup;
    let is_bound = |entry: &&DiagEntry| is_bound_to(entry, found.file, found.stat, found.base);
    let is_owner = |entry: &&DiagEntry| entry.is_reachable() && is_bound(entry);
    let live = |owner: &DiagEntry| Probe::Live {
        pid: lookup.holder(owner.inode),
    };
    // A datagram socket to which another one connects is marked as connected for its life, so those
    // that can be seen are not asked.
    let here = lookup.here();
    if let Some(owner) = here.unwrap_or_default().iter().find(is_owner) {
        return live(owner);
    }
    let answer = ask(found);
    if let ConnectAnswer::Refused = answer {
        return match here {
            Ok(_) => reason(found).map_or(Probe::Stale, Probe::Unclear),
            // An open socket of the same name could not be seen.
            Err(errno) => Probe::Unknown(errno),
        };
    }
    let owner = lookup.everywhere().iter().find(is_owner);
    match (owner, answer) {
        (Some(owner), _) => live(owner),
        (None, ConnectAnswer::Unknown(errno)) => Probe::Unknown(errno),
        // A client that is bound to it, or a listener out of sight whose connections are not.
        (None, _) => match here.unwrap_or_default().iter().find(is_bound) {
            Some(connected) => live(connected),
            None => Probe::Live { pid: None },
        },
    }
}

/// Probes an abstract name. Nothing can be left behind there.
pub(super) fn abstract_name(kind: Kind, name: &[u8]) -> Probe {
    let table = match diag::dump() {
        Ok(table) => table,
        Err(error) => return Probe::Unknown(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    // Each kind has names of its own.
    let owner = table.iter().find(|entry| {
        entry.kind == kind
            && entry.is_reachable()
            && entry
                .name
                .as_deref()
                .is_some_and(|n| n.strip_prefix(b"\0") == Some(name))
    });
    match owner {
        Some(owner) => Probe::Live {
            pid: procfs::holder(owner.inode),
        },
        None => Probe::Absent,
    }
}

enum ConnectAnswer {
    /// An open socket is bound to the file.
    Alive,
    /// None is.
    Refused,
    Unknown(Errno),
}

/// Whether a socket is bound to this very file. connect(2) of a datagram socket tells, and the server
/// does not notice: a socket of another kind refuses it.
fn ask(found: &ProbedFile<'_>) -> ConnectAnswer {
    let through = socket::path_of(found.file);
    // Without /proc by its name, if that is the same file before and after.
    let by_name = (!Path::new("/proc/self").exists())
        .then_some(found.name)
        .flatten();
    let is_named = || {
        let now = by_name.map(rustix::fs::lstat).transpose()?;
        let is_same = |now: Stat| FileIdentity::of(&now) == FileIdentity::of(found.stat);
        now.is_none_or(is_same).then_some(()).ok_or(Errno::AGAIN)
    };
    let attempt = |kind| -> Result<(), Errno> {
        let client = socket::new(kind, SocketFlags::NONBLOCK)?;
        is_named()?;
        let answer = connect(&client, &SocketAddrUnix::new(by_name.unwrap_or(&through))?);
        is_named()?;
        answer
    };
    match attempt(Kind::Datagram) {
        Ok(()) | Err(Errno::PROTOTYPE) => ConnectAnswer::Alive,
        Err(Errno::CONNREFUSED) => ConnectAnswer::Refused,
        // A datagram socket that has a peer, which another kind of client would tell as well; or a
        // file that may not be changed by anybody (FS_IMMUTABLE_FL).
        Err(Errno::PERM) if attempt(Kind::SeqPacket) == Err(Errno::PROTOTYPE) => {
            ConnectAnswer::Alive
        }
        Err(errno) => ConnectAnswer::Unknown(errno),
    }
}
