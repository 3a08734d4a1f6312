//! Addresses without a socket, and what is there instead.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;
use sockeye::address::quoted;
use sockeye::claim::{ProcessLink, begins_in_removed};
use sockeye::inspect::{BoundName, Snapshot, Socket};

use crate::args::ListedAddress;
use crate::cmd::visibility::relative_namesake;
use crate::lookup::stopped::Stopped;
use crate::output::socket::{kind, write_processes};

/// Which directory on the path may not be searched, if one may not.
pub(super) fn denied_by(target: &ListedAddress) -> Option<String> {
    let path = target.address.path()?;
    let is_denied = |path: &&Path| {
        let found = fs::metadata(path);
        found.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let denied = path.ancestors().take_while(is_denied).last()?;
    // What is denied may lie behind a symbolic link.
    if let Some(link) = ProcessLink::at(denied) {
        return Some(format!("{} may not be looked at: {link}", quoted(path)));
    }
    let is_link = fs::symlink_metadata(denied).is_ok();
    let directory = match denied.parent() {
        Some(parent) if !is_link && !parent.as_os_str().is_empty() => parent,
        None | Some(_) if !is_link => Path::new("."),
        _ => {
            return Some(format!(
                "{} leads to where you may not look",
                quoted(denied)
            ));
        }
    };
    let mode = fs::metadata(directory).map_or_else(
        |_| String::new(),
        |found| format!(" (mode {:04o})", found.permissions().mode() & 0o7777),
    );
    Some(format!(
        "{} may not be looked at: the directory {}{mode} may not be searched",
        quoted(path),
        quoted(directory)
    ))
}

/// `no socket at /run/app.sock (a regular file is there); sockeye why /run/app.sock says more`
pub(super) fn describe(missed: &[&ListedAddress], snapshot: &Snapshot) -> String {
    let shown = |target: &ListedAddress| target.address.quoted();
    let each = missed
        .iter()
        .map(|target| format!("{} ({})", shown(target), found_instead(target, snapshot)));
    let each: Vec<String> = each.collect();
    let asked = match missed {
        [one] => one.address.shell_quoted(),
        _ => "ADDRESS".to_owned(),
    };
    format!(
        "no socket at {}; sockeye why {asked} says more",
        each.join(", nor at ")
    )
}

fn found_instead(target: &ListedAddress, snapshot: &Snapshot) -> String {
    let others = snapshot.select(&target.address);
    if let Some(other) = others.first() {
        return format!("a {} socket is there", kind(other.kind));
    }
    let Some(path) = target.address.path() else {
        return "nobody has that name in this network namespace".to_owned();
    };
    let here = file_at(path);
    if let Some(who) = holder_elsewhere(path, snapshot) {
        return format!(
            "{here}; {who} has one at that path in another mount namespace or root directory"
        );
    }
    let mut sockets = snapshot.sockets().iter();
    match sockets.find_map(|socket| Some((socket, relative_namesake(socket, path)?))) {
        Some((socket, relative)) => format!(
            "{here}; {} has one at the relative path {}, in an unknown directory",
            who(socket),
            quoted(relative)
        ),
        None => here.to_owned(),
    }
}

fn file_at(path: &Path) -> &'static str {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => "a socket file that no socket here owns",
        Ok(found) if found.is_file() => "a regular file is there",
        Ok(found) if found.is_dir() => "a directory is there",
        Ok(found) if found.file_type().is_fifo() => "a FIFO is there",
        Ok(_) => "a device is there",
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => "too many symbolic links, or a circle of them",
            Some(Errno::NOENT) if fs::symlink_metadata(path).is_ok() => {
                "a symbolic link to nothing is there"
            }
            Some(Errno::NOENT) if begins_in_removed(path) => "the working directory was removed",
            Some(Errno::NOENT) => "nothing is there",
            Some(Errno::NOTDIR) => "a part of the path is not a directory",
            _ => "it cannot be looked at",
        },
    }
}

/// Who has a socket at this path in another mount namespace or root directory.
fn holder_elsewhere(path: &Path, snapshot: &Snapshot) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let path = path.as_os_str().as_bytes();
    let other = snapshot.sockets().iter().find(|socket| {
        socket.file.is_some_and(|file| file.elsewhere)
            && matches!(&socket.name, Some(BoundName::Path(name)) if name == path)
    })?;
    Some(who(other))
}

fn who(socket: &Socket) -> String {
    let Some(holders) = &socket.holders else {
        return "a process that cannot be seen".to_owned();
    };
    let mut who = String::new();
    // Writing to a String cannot fail.
    let _ = write_processes(&mut who, Some(holders), &Stopped::default(), true);
    who
}
