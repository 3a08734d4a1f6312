//! What a [`ConnectError`] says: what was tried, what was found, what to do.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

use super::{ConnectError, ConnectErrorKind};
use crate::address::{Address, Kind, quoted, shell_quoted};
use crate::claim::{ProcessLink, UnclearReason, WORKING_DIRECTORY_REMOVED, displaced_path};
use crate::hint::{file_type_name, hint_for};
use crate::ids::Shown;

const DENIED: &str = "all permissions allow it, and the kernel refuses it: a security module (SELinux, AppArmor, Landlock) or a seccomp filter; look in the audit log, or ask the administrator";
const CONNECTED_ELSEWHERE: &str = "its owner has connected the socket to another one, so that it takes nothing from others (EPERM); look at that process: a server must not connect its datagram socket";

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waited = Waited(self.waited);
        write!(f, "cannot connect to {}: ", self.address.quoted())?;
        match &*self.kind {
            ConnectErrorKind::Absent => {
                write!(f, "there is no such file{waited}; {}", waited.advice())
            }
            ConnectErrorKind::DanglingLink(target) => dangling_link(f, target, waited),
            ConnectErrorKind::ParentMissing(directory) => parent_missing(f, directory, waited),
            ConnectErrorKind::WorkingDirectoryRemoved => f.write_str(WORKING_DIRECTORY_REMOVED),
            ConnectErrorKind::ProcessDenies(link) => {
                let found = link.is_closed_to(format_args!("uid {}", self.uid));
                write!(f, "{found}; {}", ProcessLink::ADVICE)
            }
            ConnectErrorKind::ParentNotADirectory(path) => {
                write!(f, "{} is not a directory; check the path", quoted(path))
            }
            ConnectErrorKind::Stale => write!(
                f,
                "the socket file is there but nobody listens on it{waited} (left behind by a server that was killed); start the server, it will replace the file"
            ),
            ConnectErrorKind::Displaced { pid, path } => displaced(f, *pid, path),
            ConnectErrorKind::Unclear(reason) => unclear(f, reason, waited),
            ConnectErrorKind::NobodyListens => {
                write!(
                    f,
                    "nobody listens on this name{waited}; {}",
                    waited.advice()
                )
            }
            ConnectErrorKind::NotListening { pid } => not_listening(f, *pid, waited),
            ConnectErrorKind::NotASocket(file) => write!(
                f,
                "the path is {}, not a socket; give the path of the server's socket",
                file_type_name(*file)
            ),
            ConnectErrorKind::WrongKind { actual } => self.wrong_kind(f, *actual),
            ConnectErrorKind::DirectoryDenies {
                directory,
                mode_and_owner,
            } => directory_denies(f, directory, *mode_and_owner, self.uid),
            ConnectErrorKind::ModeDenies { mode_and_owner } => {
                mode_denies(f, *mode_and_owner, self.uid)
            }
            ConnectErrorKind::Denied => f.write_str(DENIED),
            ConnectErrorKind::ConnectedElsewhere => f.write_str(CONNECTED_ELSEWHERE),
            ConnectErrorKind::BacklogFull => write!(
                f,
                "a server is there but does not accept, its backlog is full{waited}; wait longer, or look at what keeps it busy"
            ),
            ConnectErrorKind::WrongAddressKind { wanted } => self.wrong_address_kind(f, *wanted),
            ConnectErrorKind::NotAnAddressToCall => {
                f.write_str("nobody can be called there; give a path or @name")
            }
            ConnectErrorKind::NotAdopted(error) => write!(f, "{error}"),
            ConnectErrorKind::Io => self.io_error(f),
        }
    }
}

/// How long the server was waited for, if the time ran out.
#[derive(Clone, Copy)]
struct Waited(Option<Duration>);

impl Waited {
    fn advice(self) -> &'static str {
        match self.0 {
            Some(_) => "start the server or wait longer",
            None => "start the server or check the name",
        }
    }
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None | Some(Duration::ZERO) => Ok(()),
            Some(time) => write!(f, " after {time:?} of waiting"),
        }
    }
}

fn dangling_link(f: &mut fmt::Formatter<'_>, target: &Path, waited: Waited) -> fmt::Result {
    let (target, advice) = (quoted(target), waited.advice());
    write!(
        f,
        "it is a symbolic link to {target}, which does not exist{waited}; {advice}"
    )
}

fn parent_missing(f: &mut fmt::Formatter<'_>, directory: &Path, waited: Waited) -> fmt::Result {
    let (directory, advice) = (quoted(directory), waited.advice());
    write!(
        f,
        "the directory {directory} does not exist{waited}; {advice}"
    )
}

fn displaced(f: &mut fmt::Formatter<'_>, pid: Option<Pid>, path: &Path) -> fmt::Result {
    f.write_str(
        "nobody listens on the socket file, which is that of a tap that was killed; the server",
    )?;
    if let Some(pid) = pid {
        write!(f, " (pid {})", pid.as_raw_pid())?;
    }
    write!(
        f,
        " has {}; put it back with sockeye tap --restore {}",
        quoted(&displaced_path(path)),
        shell_quoted(path)
    )
}

fn unclear(f: &mut fmt::Formatter<'_>, reason: &UnclearReason, waited: Waited) -> fmt::Result {
    write!(
        f,
        "nobody answers at the socket file{waited} ({reason}); connect to the path that its server has bound"
    )
}

fn not_listening(f: &mut fmt::Formatter<'_>, pid: Option<Pid>, waited: Waited) -> fmt::Result {
    f.write_str("its server")?;
    if let Some(pid) = pid {
        write!(f, " (pid {})", pid.as_raw_pid())?;
    }
    write!(
        f,
        " is there but does not listen, not yet or not any more{waited}; try again, or look at that process"
    )
}

fn directory_denies(
    f: &mut fmt::Formatter<'_>,
    directory: &Path,
    mode_and_owner: Option<(u32, Option<u32>)>,
    uid: u32,
) -> fmt::Result {
    write!(f, "the directory {}", quoted(directory))?;
    fmt_mode(f, mode_and_owner)?;
    write!(
        f,
        " does not let uid {uid} pass, which takes its execute bit (x); ask its owner, or run as another user"
    )
}

fn mode_denies(
    f: &mut fmt::Formatter<'_>,
    mode_and_owner: Option<(u32, Option<u32>)>,
    uid: u32,
) -> fmt::Result {
    f.write_str("the socket file")?;
    fmt_mode(f, mode_and_owner)?;
    write!(
        f,
        " gives uid {uid} no write permission (w), which connecting takes; ask its owner, or run as another user"
    )
}

fn fmt_mode(f: &mut fmt::Formatter<'_>, mode_and_owner: Option<(u32, Option<u32>)>) -> fmt::Result {
    match mode_and_owner {
        Some((mode, owner)) => write!(f, " (mode {mode:04o}, owner uid {})", Shown(owner)),
        None => Ok(()),
    }
}

impl ConnectError {
    fn wrong_kind(&self, f: &mut fmt::Formatter<'_>, actual: Option<Kind>) -> fmt::Result {
        let wanted = self.address.kind();
        match actual {
            Some(kind) => write!(
                f,
                "the server there has a {kind} socket, not a {wanted} one; give the address as {}",
                with_kind(&self.address, kind)
            ),
            None => write!(
                f,
                "the server there has a socket of another kind, not a {wanted} one; look with sockeye why {}",
                self.address.shell_quoted()
            ),
        }
    }

    fn wrong_address_kind(&self, f: &mut fmt::Formatter<'_>, wanted: Kind) -> fmt::Result {
        let kind = self.address.kind();
        write!(
            f,
            "it is the address of a {kind} socket, and a {wanted} socket is to be connected; use Connector::{}",
            method_for(kind)
        )
    }

    fn io_error(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{source}; {}", hint_for(Errno::from_io_error(source))),
            None => f.write_str("unknown error"),
        }
    }
}

/// What connects to a socket of that kind.
fn method_for(kind: Kind) -> &'static str {
    match kind {
        Kind::Stream => "connect",
        Kind::SeqPacket => "connect_seqpacket",
        Kind::Datagram => "connect_datagram",
    }
}

/// The address with another kind, as an argument.
fn with_kind(address: &Address, kind: Kind) -> String {
    let other = Address::new(kind, address.name());
    other.map_or_else(|_| kind.to_string(), |other| other.shell_quoted())
}
