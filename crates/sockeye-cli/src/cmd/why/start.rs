//! [`Start`]: the directory in which the walk along a path begins.

use std::path::{Component, Path, PathBuf};

use sockeye::claim::{WORKING_DIRECTORY_REMOVED, begins_in_removed};

use super::report::{Check, Verdict, WhyReport};
use super::user::User;
use super::walk_end::WalkEnd;
use crate::exit::Exit;

pub(super) struct Start {
    /// The directory.
    pub(super) start: PathBuf,
    /// Its name in the report.
    pub(super) shown: PathBuf,
    pub(super) path: PathBuf,
}

impl Start {
    /// `None` where the working directory has been removed.
    pub(super) fn of(path: &Path, user: &User) -> Option<Self> {
        let is_removed = match &user.process {
            Some(process) => process.directory_is_removed && begins_here(path),
            None => begins_in_removed(path),
        };
        if is_removed {
            return None;
        }
        // /proc has a name of a removed directory, too, which ends in its parent's.
        let here = std::env::current_dir().or_else(|_| std::fs::read_link("/proc/self/cwd"));
        let here = here.unwrap_or_default();
        let (start, shown, path) = match (&user.process, user.is_caller) {
            _ if path.is_absolute() => (user.root.clone(), user.root.clone(), path.to_owned()),
            (_, true) => (".".into(), here, path.to_owned()),
            (Some(process), _) => {
                let start = process.directory.clone();
                (start.clone(), start, path.to_owned())
            }
            // Another user may have another working directory.
            (None, false) => ("/".into(), "/".into(), here.join(path)),
        };

        Some(Self { start, shown, path })
    }
}

/// Whether a path begins in the working directory, and not above it.
fn begins_here(path: &Path) -> bool {
    let first = path.components().find(|part| *part != Component::CurDir);
    !matches!(first, Some(Component::RootDir | Component::ParentDir))
}

/// Reports a relative path in a working directory that was removed.
pub(super) fn nowhere(user: &User, report: &mut WhyReport) -> WalkEnd {
    let (text, advice) = match &user.process {
        Some(process) => (
            format!("the working directory of {process} was removed"),
            "restart it in one that exists, or give an absolute path",
        ),
        None => (WORKING_DIRECTORY_REMOVED.split_once("; ")).map_or_else(
            || (WORKING_DIRECTORY_REMOVED.to_owned(), ""),
            |(text, advice)| (text.to_owned(), advice),
        ),
    };
    let verdict = Verdict::new(
        Exit::NothingThere,
        "removed-directory",
        format!("{text}, so nothing can be at a relative path"),
        advice,
    );
    report.no(Check::Directory, text, verdict);
    WalkEnd::Stopped
}
