//! The path to a socket file, resolved as the kernel does it (path_resolution(7)), one name at a time.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, fstat, openat};
use rustix::io::Errno;

use super::access::Access;
use super::permission::Want;
use super::report::{Check, Verdict, WhyReport, shown};
use super::start::{self, Start};
use super::user;
use super::user::User;
use super::walk_end::{MissingPart, WalkEnd, WalkedFile};
use crate::exit::Exit;

/// Walks from `/`, or from the working directory for a relative path, and reports each step. `before`
/// is called with each path that is going to be looked at.
pub(super) fn walk(
    path: &Path,
    user: &User,
    report: &mut WhyReport,
    before: impl FnMut(&mut WhyReport, &Path),
) -> WalkEnd {
    let Some(Start { start, shown, path }) = Start::of(path, user) else {
        return start::nowhere(user, report);
    };
    let directory = match open(CWD, start.as_os_str(), OFlags::DIRECTORY) {
        Ok(directory) => directory,
        Err(errno) => return stop(report, &shown, errno),
    };
    let mut walk = PathWalk {
        user,
        report,
        before,
        rest: Vec::new(),
        directory,
        shown,
        reported: HashSet::new(),
        links: 0,
        jumped: None,
        linked: false,
    };
    walk.push(path.as_os_str());
    walk.run()
}

pub(super) struct PathWalk<'a, B> {
    pub(super) user: &'a User,
    pub(super) report: &'a mut WhyReport,
    pub(super) before: B,
    /// The names that are left, the next one last.
    pub(super) rest: Vec<OsString>,
    pub(super) directory: OwnedFd,
    pub(super) shown: PathBuf,
    /// Device and inode of the directories and links that were reported.
    pub(super) reported: HashSet<(u64, u64)>,
    pub(super) links: u32,
    /// A followed link of /proc, such as `/proc/7/root`, which stays in the paths that are shown.
    pub(super) jumped: Option<PathBuf>,
    /// Whether the last name came from a link.
    pub(super) linked: bool,
}

impl<B: FnMut(&mut WhyReport, &Path)> PathWalk<'_, B> {
    pub(super) fn push(&mut self, path: &OsStr) {
        let names = path.as_bytes().split(|&byte| byte == b'/');
        let is_directory = path.as_bytes().ends_with(b"/");
        if is_directory {
            self.rest.push(".".into());
        }
        let names = names.filter(|name| !name.is_empty() && *name != b".");
        let names = names.map(|name| OsStr::from_bytes(name).to_owned());
        self.rest
            .extend(names.collect::<Vec<_>>().into_iter().rev());
    }

    fn run(mut self) -> WalkEnd {
        while let Some(name) = self.rest.pop() {
            (self.before)(self.report, &self.shown);
            if let Some(end) = self.search() {
                return end;
            }
            let end = match name.as_bytes() {
                b"." => None,
                b".." => self.ascend(),
                _ => self.descend(&name),
            };
            if let Some(end) = end {
                return end;
            }
        }
        match fstat(&self.directory) {
            Ok(stat) => not_a_socket(self.shown, &stat),
            Err(errno) => stop(self.report, &self.shown, errno),
        }
    }

    /// Reports whether the directory may be searched, once.
    fn search(&mut self) -> Option<WalkEnd> {
        let stat = match fstat(&self.directory) {
            Ok(stat) => stat,
            Err(errno) => return Some(stop(self.report, &self.shown, errno)),
        };
        if !self.reported.insert((stat.st_dev, stat.st_ino)) {
            return None;
        }
        let asked = accessat(
            &self.directory,
            ".",
            rustix::fs::Access::EXEC_OK,
            AtFlags::EACCESS,
        );
        let access = Access {
            check: Check::Directory,
            want: Want::Search,
            cause: "directory",
            path: &self.shown,
            subject: shown(&self.shown).to_string(),
        };
        let allowed = access.judge(self.user, self.report, &stat, &self.directory, asked);
        if asked != Err(Errno::ACCESS) {
            return None;
        }
        if allowed {
            let path = shown(&self.shown);
            let verdict = Verdict::new(
                Exit::Incomplete,
                "unseen",
                format!("unknown: you may not look beyond {path} yourself"),
                match self.user.uid {
                    Some(0) => format!("run this {}", user::seer()),
                    _ => format!("run this {}, or as {}", user::seer(), self.user),
                },
            );
            let text = format!("what lies beyond {path} cannot be seen by you");
            self.report.unknown(Check::Directory, text, verdict);
        }
        Some(WalkEnd::Stopped)
    }

    fn ascend(&mut self) -> Option<WalkEnd> {
        match open(&self.directory, OsStr::new(".."), OFlags::DIRECTORY) {
            Ok(directory) => {
                self.directory = directory;
                // The parent of such a link's target cannot be named otherwise.
                if self.jumped.as_ref() == Some(&self.shown) {
                    self.shown.push("..");
                    self.jumped = Some(self.shown.clone());
                } else {
                    _ = self.shown.pop();
                }
                None
            }
            Err(errno) => Some(stop(self.report, &self.shown, errno)),
        }
    }

    fn descend(&mut self, name: &OsStr) -> Option<WalkEnd> {
        let path = self.shown.join(name);
        (self.before)(self.report, &path);
        let is_last = self.rest.is_empty();
        let file = match open(&self.directory, name, OFlags::NOFOLLOW) {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                let what = match (is_last, self.linked) {
                    (true, true) => MissingPart::Target,
                    (true, false) => MissingPart::File,
                    (false, _) => MissingPart::Directory,
                };
                return Some(WalkEnd::MissingPart { path, what });
            }
            Err(errno) => return Some(stop(self.report, &path, errno)),
        };
        let stat = match fstat(&file) {
            Ok(stat) => stat,
            Err(errno) => return Some(stop(self.report, &path, errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => return self.follow(name, &path, &file, &stat),
            FileType::Directory => {
                (self.directory, self.shown) = (file, path);
                return None;
            }
            _ if !is_last => self.no_directory(&path),
            FileType::Socket => {
                self.socket(name, &path, &file, &stat);
                let file = WalkedFile::from(&stat);
                return Some(WalkEnd::Socket { path, file });
            }
            _ => return Some(not_a_socket(path, &stat)),
        }
        Some(WalkEnd::Stopped)
    }

    pub(super) fn no_directory(&mut self, path: &Path) {
        let text = format!("{} is not a directory", shown(path));
        let verdict = Verdict::new(
            Exit::NothingThere,
            "not-a-directory",
            format!("{text}, so nothing can be below it"),
            "check the path",
        );
        self.report.no(Check::Directory, text, verdict);
    }

    /// Reports the type of the file, and whether it may be written.
    pub(super) fn socket(&mut self, name: &OsStr, path: &Path, file: &OwnedFd, stat: &Stat) {
        let text = format!("{} is a socket file", shown(path));
        self.report.ok(Check::File, text);
        let asked = accessat(
            &self.directory,
            name,
            rustix::fs::Access::WRITE_OK,
            AtFlags::EACCESS,
        );
        let access = Access {
            check: Check::Permission,
            want: Want::Write,
            cause: "permission",
            path,
            subject: "the socket file".to_owned(),
        };
        access.judge(self.user, self.report, stat, file, asked);
    }
}

pub(super) fn open(
    at: impl std::os::fd::AsFd,
    name: &OsStr,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    openat(
        at,
        name,
        OFlags::PATH | OFlags::CLOEXEC | flags,
        Mode::empty(),
    )
}

pub(super) fn not_a_socket(path: PathBuf, stat: &Stat) -> WalkEnd {
    WalkEnd::NotASocket {
        path,
        file: WalkedFile::from(stat),
        mode: stat.st_mode,
    }
}

/// Reports a system call that failed for an unexpected reason.
pub(super) fn stop(report: &mut WhyReport, path: &Path, errno: Errno) -> WalkEnd {
    let error = std::io::Error::from(errno);
    let text = format!("{}: {error}", shown(path));
    let (exit, advice) = match errno {
        Errno::ACCESS | Errno::PERM => (
            Exit::NotPermitted,
            "look for a denial in the audit log, or ask the administrator",
        ),
        Errno::NAMETOOLONG => (Exit::Failed, "give a shorter name, or a shorter path"),
        _ => (Exit::Failed, "look at the file system, and at dmesg"),
    };
    let verdict = Verdict::new(
        exit,
        "io",
        format!("the path cannot be followed: {text}"),
        advice,
    );
    report.no(Check::File, text, verdict);
    WalkEnd::Stopped
}
