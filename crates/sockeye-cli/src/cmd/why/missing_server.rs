//! Servers that still run, though none of their sockets is at the path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, stat};
use sockeye::Address;
use sockeye::address::shell_quoted;
use sockeye::inspect::{BoundName, FileState, Socket};

use super::displaced_server::DisplacedServer;
use super::listener::{Listener, Who};
use super::near_miss::NearMiss;
use super::other_namespace::OtherNamespace;
use super::report::{Check, Status, Verdict, WhyReport, shown};
use super::user::seer;
use super::walk_end::{MissingPart, WalkedFile};
use crate::cmd::visibility::{VisibleSockets, is_named, is_reachable, relative_namesake, state_of};
use crate::exit::Exit;

/// The cause if a server may have lost its socket file, or have it in another mount namespace.
pub(super) const UNPLACED: &str = "unplaced";

/// Reports on a path that leads to a file of another type.
pub(super) fn not_a_socket(
    address: &Address,
    path: &Path,
    (kind, file): (FileType, WalkedFile),
    visible: &VisibleSockets,
    report: &mut WhyReport,
) {
    let is = match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO (named pipe)",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "of an unknown type",
    };
    let text = format!("{} is {is}, not a socket", shown(path));
    let advice = "give the path of the server's socket";
    report.step(Check::File, Status::No, &text);
    let restart = format!(
        "move {} away first (no server replaces it), then restart that server",
        shown(path)
    );
    servers_of(
        address,
        path,
        (&text, Some(file)),
        &restart,
        visible,
        report,
    );
    report.conclude(Verdict::new(
        Exit::NothingThere,
        "not-a-socket",
        text,
        advice,
    ));
}

/// Reports on a path that does not exist.
pub(super) fn missing(
    address: &Address,
    path: &Path,
    what: MissingPart,
    visible: &VisibleSockets,
    report: &mut WhyReport,
) {
    let (cause, advice) = match what {
        MissingPart::File => ("missing", "start the server, or check the name"),
        MissingPart::Directory => ("directory-missing", "start the server, or check the path"),
        MissingPart::Target => ("dangling-link", "start the server, or fix the link"),
    };
    let thing = match what {
        MissingPart::File => "file",
        MissingPart::Directory => "directory",
        MissingPart::Target => "target of the symbolic link",
    };
    let text = match what {
        MissingPart::Target => format!("{}, the {thing}, does not exist", shown(path)),
        _ => format!("the {thing} {} does not exist", shown(path)),
    };
    report.step(Check::File, Status::No, &text);
    if let Some(displaced) = DisplacedServer::find(address, path, &[], visible)
        && displaced.is_left_alone(&text, report)
    {
        return;
    }
    // A server that lost its file, or has it in another namespace, is the better explanation.
    servers_of(
        address,
        path,
        (&text, None),
        "restart that server",
        visible,
        report,
    );
    let (text, advice) = match NearMiss::find(address, visible) {
        Some(near) => {
            report.note(Check::Listener, &near.text);
            (format!("{text}; {}", near.text), near.advice)
        }
        None => (text, advice.to_owned()),
    };
    report.conclude(Verdict::new(Exit::NothingThere, cause, text, advice));
}

/// Notes sockets with the name of a path on a file system that does not answer.
pub(super) fn by_name(path: &Path, visible: &VisibleSockets, report: &mut WhyReport) {
    let named = visible
        .sockets()
        .iter()
        .filter(|socket| is_named(socket, Some(path)));
    for socket in named.filter(|socket| is_reachable(socket)) {
        let who = Who::of(socket);
        let has = who.does("has", "have");
        report.note(
            Check::Listener,
            format!("{who} {has} a socket of this name"),
        );
        report.set_listener(Listener::from(socket));
    }
}

/// Notes running servers that had this path before.
pub(super) fn replaced(path: &Path, old: &[&Socket], report: &mut WhyReport) {
    let path = shown(path);
    for socket in old.iter().filter(|socket| is_reachable(socket)) {
        let who = Who::of(socket);
        let text = match state_of(socket) {
            None => format!(
                "another server that was bound to this path lives, {who}: {path} was replaced since, \
                 or the server is in another mount namespace"
            ),
            Some(_) => format!(
                "an older server still lives, {who}: another file stands at {path} now, \
                 so this path no longer leads to it"
            ),
        };
        report.note(Check::Listener, text);
    }
}

/// Reports on running servers that were bound to this path, where `found` is now; `restart` is how
/// they get it back.
fn servers_of(
    address: &Address,
    path: &Path,
    (found, file): (&str, Option<WalkedFile>),
    restart: &str,
    visible: &VisibleSockets,
    report: &mut WhyReport,
) {
    let (unplaced, removed): (Vec<&Socket>, Vec<&Socket>) = without_file(address, visible)
        .into_iter()
        .partition(|socket| state_of(socket).is_none());
    if let Some((socket, now)) = renamed(visible.sockets(), path) {
        was_renamed(found, socket, &now, report);
    }
    for socket in removed {
        was_removed(found, socket, restart, report);
    }
    if let Some(other) = OtherNamespace::find(address, path, file, visible, &[]) {
        other.conclude(found, report);
    }
    for socket in visible.sockets() {
        if let Some(relative) = relative_namesake(socket, path) {
            let text = format!(
                "{} has a socket that was bound to the relative path {}, in an unknown directory",
                Who::of(socket),
                shown(relative)
            );
            report.note(Check::Listener, text);
        }
    }
    for socket in unplaced {
        is_unplaced(found, socket, report);
    }
}

/// Sockets that clients can reach, were bound to the address, and have no known path by now.
fn without_file<'a>(address: &Address, visible: &'a VisibleSockets) -> Vec<&'a Socket> {
    let mut sockets: Vec<&Socket> = visible
        .snapshot
        .iter()
        .flat_map(|all| all.select(address))
        .collect();
    // If the directory is gone as well, only the name can be compared.
    let by_name = visible.sockets().iter().filter(|socket| {
        !matches!(
            state_of(socket),
            Some(FileState::Present | FileState::Replaced)
        ) && is_named(socket, address.path())
    });
    sockets.extend(by_name);
    sockets.sort_by_key(|socket| socket.inode);
    sockets.dedup_by_key(|socket| socket.inode);
    sockets.retain(|socket| is_reachable(socket) && socket.file_path.is_none());
    sockets
}

fn was_renamed(found: &str, socket: &Socket, now: &Path, report: &mut WhyReport) {
    let text = format!(
        "{} has renamed the file of its socket to {}",
        Who::of(socket),
        shown(now)
    );
    report.set_listener(Listener::from(socket));
    let verdict = Verdict::new(
        Exit::NothingThere,
        "renamed",
        format!("{found}; {text}"),
        format!("give that path: {}", shell_quoted(now)),
    );
    report.no(Check::Listener, text, verdict);
}

fn was_removed(found: &str, socket: &Socket, restart: &str, report: &mut WhyReport) {
    let text = format!(
        "the server still lives, {}, but no file at this path leads to it any more",
        Who::of(socket)
    );
    report.set_listener(Listener::from(socket));
    let verdict = Verdict::new(
        Exit::NothingThere,
        "removed",
        format!("{found}; {text}: it was removed, renamed or replaced"),
        format!(
            "give the file's new path if it was renamed; else {restart}, which makes a new \
             file, and find out what removes files there"
        ),
    );
    report.step(Check::Listener, Status::Note, text);
    report.conclude(verdict);
}

fn is_unplaced(found: &str, socket: &Socket, report: &mut WhyReport) {
    let text = format!(
        "a server that was bound to this path lives, {}: its file was removed or renamed, \
         or is in another mount namespace",
        Who::of(socket)
    );
    report.set_listener(Listener::from(socket));
    let verdict = Verdict::new(
        Exit::Incomplete,
        UNPLACED,
        format!("{found}; {text}"),
        format!("ask again {}, to know which", seer()),
    );
    report.unknown(Check::Listener, text, verdict);
}

/// A socket that was bound to this path and whose file was renamed, with its new path.
fn renamed<'a>(
    sockets: impl IntoIterator<Item = &'a Socket>,
    path: &Path,
) -> Option<(&'a Socket, PathBuf)> {
    sockets.into_iter().find_map(|socket| {
        let (name, now) = (socket.name.as_ref()?, socket.file_path.as_ref()?);
        let BoundName::Path(name) = name else {
            return None;
        };
        let name = Path::new(OsStr::from_bytes(name));
        let real = |path: &Path| std::fs::canonicalize(path.parent()?).ok();
        let is_named = name.file_name() == path.file_name()
            && (name.is_relative() || real(name) == real(path));
        if !is_named || !is_reachable(socket) {
            return None;
        }
        let now = if now.is_absolute() {
            now.clone()
        } else {
            path.with_file_name(now.file_name()?)
        };
        let found = stat(&now).ok()?;
        let is_it = socket
            .file
            .is_some_and(|file| (file.device, file.inode) == (found.st_dev, found.st_ino));
        is_it.then_some((socket, now))
    })
}
