//! Servers that live, but not behind what is at the path: their file was removed or replaced, or it
//! is in another mount namespace.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, stat};
use sockeye::Address;
use sockeye::inspect::{BoundName, FileState, Socket};

use super::listener::{Listener, is_reachable, who};
use super::path::Missing;
use super::report::{Check, Report, Status, Verdict, shown};
use super::sight::{Sight, is_present};
use crate::exit::Exit;

/// Reports on a path where something else than a socket is.
pub(super) fn not_a_socket(
    address: &Address,
    path: &Path,
    file: FileType,
    sight: &Sight,
    report: &mut Report,
) {
    let is = match file {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO (named pipe)",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "of an unknown type",
    };
    let path = shown(path);
    let text = format!("{path} is {is}, not a socket");
    let advice = "give the path of the server's socket";
    report.step(Check::File, Status::No, &text);
    lost_servers(address, sight, report);
    report.conclude(Verdict::new(
        Exit::NothingThere,
        "not-a-socket",
        text,
        advice,
    ));
}

/// Reports on a path where nothing is.
pub(super) fn missing(
    address: &Address,
    path: &Path,
    what: Missing,
    sight: &Sight,
    report: &mut Report,
) {
    let (cause, advice) = match what {
        Missing::File => ("missing", "start the server, or check the name"),
        Missing::Directory => ("directory-missing", "start the server, or check the path"),
        Missing::Target => ("dangling-link", "start the server, or set the link right"),
    };
    let thing = match what {
        Missing::File => "file",
        Missing::Directory => "directory",
        Missing::Target => "target of the symbolic link",
    };
    let text = match what {
        Missing::Target => format!("{}, the {thing}, does not exist", shown(path)),
        _ => format!("the {thing} {} does not exist", shown(path)),
    };
    // A server that lost its file, or has it elsewhere, is the better explanation.
    report.step(Check::File, Status::No, &text);
    lost_servers(address, sight, report);
    if let Some(other) = elsewhere(address, path, sight, &[]) {
        let text = format!(
            "{} has a socket at this path in another mount namespace or root directory",
            who(other)
        );
        report.set_listener(Listener::from(other));
        let verdict = Verdict::new(
            Exit::NothingThere,
            "mount-namespace",
            format!("nothing is there for you: {text}"),
            "share the socket's directory (a volume, a bind mount), or run the client where the server is (nsenter -m -t PID)",
        );
        report.no(Check::Namespace, text, verdict);
    }
    report.conclude(Verdict::new(Exit::NothingThere, cause, text, advice));
}

/// Servers that had this path before, and live.
pub(super) fn replaced(path: &Path, old: &[&Socket], report: &mut Report) {
    for socket in old.iter().filter(|socket| is_reachable(socket)) {
        report.note(
            Check::Listener,
            format!(
                "an older server still lives, {}: another file stands at {} now, so this path no longer leads to it",
                who(socket),
                shown(path)
            ),
        );
    }
}

/// Servers that had this path, where no socket is any more.
fn lost_servers(address: &Address, sight: &Sight, report: &mut Report) {
    let mut lost: Vec<&Socket> = sight
        .snapshot
        .iter()
        .flat_map(|all| all.select(address))
        .collect();
    // A directory that is gone as well cannot be compared but by name.
    let by_name = sight.sockets().iter().filter(|socket| {
        let state = socket.file.and_then(|file| file.state);
        state == Some(FileState::Removed) && is_named(socket, address.path())
    });
    lost.extend(by_name);
    lost.sort_by_key(|socket| socket.inode);
    lost.dedup_by_key(|socket| socket.inode);
    for socket in lost.into_iter().filter(|socket| is_reachable(socket)) {
        let text = format!(
            "the server still lives, {}, but its socket file is gone",
            who(socket)
        );
        report.set_listener(Listener::from(socket));
        let verdict = Verdict::new(
            Exit::NothingThere,
            "removed",
            format!("{text}: it was removed or replaced under it"),
            "restart that server, it makes the file anew; find out what removes files there",
        );
        report.step(Check::Listener, Status::Note, text);
        report.conclude(verdict);
    }
}

/// A living socket whose own file has this very path, in another mount namespace or root directory.
pub(super) fn elsewhere<'a>(
    address: &Address,
    path: &Path,
    sight: &'a Sight,
    here: &[&Socket],
) -> Option<&'a Socket> {
    let file = stat(path).ok();
    sight.sockets().iter().find(|socket| {
        let other_file = socket.file.is_some_and(|bound| {
            file.as_ref()
                .is_none_or(|file| (file.st_dev, file.st_ino) != (bound.device, bound.inode))
        });
        is_reachable(socket)
            && is_present(socket)
            && other_file
            && (is_named(socket, Some(path)) || is_named(socket, address.path()))
            && !here.iter().any(|known| known.inode == socket.inode)
    })
}

/// Whether a socket was bound to this very path.
fn is_named(socket: &Socket, path: Option<&Path>) -> bool {
    let path = path.and_then(|path| std::path::absolute(path).ok());
    let wanted = path.as_ref().map(|path| path.as_os_str().as_bytes());
    matches!(&socket.name, Some(BoundName::Path(name)) if wanted == Some(name))
}
