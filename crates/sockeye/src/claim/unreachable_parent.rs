//! [`UnreachableParent`]: why the directory of a path cannot be reached, and which part of it is the cause.

use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;

use super::process_link::ProcessLink;

/// The first part of a directory's path that cannot be passed.
pub(crate) enum UnreachableParent {
    Missing(PathBuf),
    /// This directory was removed; `.` is the working directory.
    Removed(PathBuf),
    NotADirectory(PathBuf),
    /// This directory may not be entered.
    Denied(PathBuf),
    /// This link of `/proc` may not be followed.
    Closed(ProcessLink),
}

/// As many symbolic links as the kernel follows (MAXSYMLINKS of linux/namei.h).
const MOST_LINKS: u32 = 40;

/// Walks down to the directory `parent` and returns the first part that cannot be passed. A directory that denies is given by
/// its absolute path, also where a symbolic link has led to it.
pub(crate) fn unreachable_parent(parent: &Path) -> Option<UnreachableParent> {
    if begins_in_removed(parent) {
        return Some(UnreachableParent::Removed(".".into()));
    }
    find_unreachable(parent, MOST_LINKS)
}

/// What an error says where [`begins_in_removed`].
pub const WORKING_DIRECTORY_REMOVED: &str =
    "the working directory was removed; cd to one that exists, or give an absolute path";

/// Whether a path begins in the working directory and that was removed (getcwd(3), ENOENT), so that
/// nothing can be there ever again. What is above it can still be reached, with `..`.
#[must_use]
pub fn begins_in_removed(path: &Path) -> bool {
    let first = path.components().find(|part| *part != Component::CurDir);
    let is_above = matches!(first, Some(Component::RootDir | Component::ParentDir));
    let here = std::env::current_dir();
    !is_above && here.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn find_unreachable(parent: &Path, links: u32) -> Option<UnreachableParent> {
    let denied = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Some(UnreachableParent::Denied(path))
    };
    let mut walked = PathBuf::new();
    for part in parent.components() {
        let above = match part {
            Component::RootDir => PathBuf::from("/"),
            _ if walked.as_os_str().is_empty() => PathBuf::from("."),
            _ => walked.clone(),
        };
        walked.push(part);
        match stat(&walked) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {}
            Ok(_) => return Some(UnreachableParent::NotADirectory(walked)),
            Err(Errno::NOENT) => return Some(UnreachableParent::Missing(walked)),
            Err(Errno::ACCESS) => {
                if let Some(link) = ProcessLink::at(&walked) {
                    return Some(UnreachableParent::Closed(link));
                }
                // What is denied may lie behind a link that can be read.
                return match std::fs::read_link(&walked) {
                    Ok(target) if links > 0 => {
                        let target = above.join(target);
                        let found = find_unreachable(target.parent()?, links - 1);
                        found.or_else(|| find_unreachable(&target, links - 1))
                    }
                    _ => denied(&above),
                };
            }
            Err(_) => return None,
        }
    }
    let searchable = accessat(CWD, parent, Access::EXEC_OK, AtFlags::EACCESS);
    match searchable {
        Err(Errno::ACCESS) => denied(parent),
        _ => None,
    }
}
