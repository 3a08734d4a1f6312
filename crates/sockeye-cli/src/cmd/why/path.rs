//! The way to a socket file, walked as the kernel walks it (path_resolution(7)), a name at a time.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, fstat, fstatfs, openat, readlinkat,
};
use rustix::io::Errno;

use sockeye::ids;

use super::access::{Access, guard_of};
use super::end::{End, FileId, Missing};
use super::permission::{self, Want};
use super::process_link;
use super::report::{Check, Report, Verdict, shown};
use super::user;
use super::user::User;
use crate::exit::Exit;

/// As many symbolic links as the kernel follows.
const LINKS: u32 = 40;
/// linux/magic.h: its links may lead to what has no path.
const PROC_SUPER_MAGIC: u32 = 0x9fa0;

/// Walks from `/`, or from here for a relative path, and reports each step. `before` is told what is
/// going to be looked at.
pub(super) fn walk(
    path: &Path,
    user: &User,
    report: &mut Report,
    before: impl FnMut(&mut Report, &Path),
) -> End {
    let here = std::env::current_dir().unwrap_or_default();
    let (start, shown, path) = match (&user.process, user.is_caller) {
        _ if path.is_absolute() => (user.root.clone(), user.root.clone(), path.to_owned()),
        (_, true) => (".".into(), here, path.to_owned()),
        (Some(process), _) => {
            let start = process.directory.clone();
            (start.clone(), start, path.to_owned())
        }
        // Another user would start elsewhere.
        (None, false) => ("/".into(), "/".into(), here.join(path)),
    };
    let directory = match open(CWD, start.as_os_str(), OFlags::DIRECTORY) {
        Ok(directory) => directory,
        Err(errno) => return stop(report, &shown, errno),
    };
    let mut walk = Walk {
        user,
        report,
        before,
        rest: Vec::new(),
        directory,
        shown,
        told: HashSet::new(),
        links: 0,
        jumped: None,
        linked: false,
    };
    walk.push(path.as_os_str());
    walk.run()
}

struct Walk<'a, B> {
    user: &'a User,
    report: &'a mut Report,
    before: B,
    /// The names to come, the next one last.
    rest: Vec<OsString>,
    directory: OwnedFd,
    shown: PathBuf,
    /// Directories and links that were reported.
    told: HashSet<(u64, u64)>,
    links: u32,
    /// Where a link of /proc has led to, such as `/proc/7/root`: that stays in what is shown.
    jumped: Option<PathBuf>,
    /// Whether the last name came from a link.
    linked: bool,
}

impl<B: FnMut(&mut Report, &Path)> Walk<'_, B> {
    fn push(&mut self, path: &OsStr) {
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

    fn run(mut self) -> End {
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
    fn search(&mut self) -> Option<End> {
        let stat = match fstat(&self.directory) {
            Ok(stat) => stat,
            Err(errno) => return Some(stop(self.report, &self.shown, errno)),
        };
        if !self.told.insert((stat.st_dev, stat.st_ino)) {
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
        let allowed = access.tell(self.user, self.report, &stat, &self.directory, asked);
        if asked != Err(Errno::ACCESS) {
            return None;
        }
        if allowed {
            let path = shown(&self.shown);
            let verdict = Verdict::new(
                Exit::Incomplete,
                "unseen",
                format!("it cannot be told: you may not look beyond {path} yourself"),
                match self.user.uid {
                    Some(0) => format!("run this {}", user::seer()),
                    _ => format!("run this {}, or as {}", user::seer(), self.user),
                },
            );
            let text = format!("what lies beyond {path} cannot be seen by you");
            self.report.unknown(Check::Directory, text, verdict);
        }
        Some(End::Stopped)
    }

    fn ascend(&mut self) -> Option<End> {
        match open(&self.directory, OsStr::new(".."), OFlags::DIRECTORY) {
            Ok(directory) => {
                self.directory = directory;
                // What is above the target of such a link has another name.
                match self.jumped.as_ref() == Some(&self.shown) {
                    true => {
                        self.shown.push("..");
                        self.jumped = Some(self.shown.clone());
                    }
                    false => _ = self.shown.pop(),
                }
                None
            }
            Err(errno) => Some(stop(self.report, &self.shown, errno)),
        }
    }

    fn descend(&mut self, name: &OsStr) -> Option<End> {
        let path = self.shown.join(name);
        (self.before)(self.report, &path);
        let is_last = self.rest.is_empty();
        let file = match open(&self.directory, name, OFlags::NOFOLLOW) {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                let what = match (is_last, self.linked) {
                    (true, true) => Missing::Target,
                    (true, false) => Missing::File,
                    (false, _) => Missing::Directory,
                };
                return Some(End::Missing { path, what });
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
                let file = FileId::from(&stat);
                return Some(End::Socket { path, file });
            }
            _ => return Some(not_a_socket(path, &stat)),
        }
        Some(End::Stopped)
    }

    fn no_directory(&mut self, path: &Path) {
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
    fn socket(&mut self, name: &OsStr, path: &Path, file: &OwnedFd, stat: &Stat) {
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
        access.tell(self.user, self.report, stat, file, asked);
    }

    fn follow(&mut self, name: &OsStr, path: &Path, file: &OwnedFd, stat: &Stat) -> Option<End> {
        self.links += 1;
        let is_new = self.told.insert((stat.st_dev, stat.st_ino));
        let target = match readlinkat(file, "", Vec::new()) {
            Ok(target) => OsStr::from_bytes(target.as_bytes()).to_owned(),
            Err(Errno::ACCESS) => {
                self.closed_process(path);
                return Some(End::Stopped);
            }
            Err(errno) => return Some(stop(self.report, path, errno)),
        };
        let text = format!(
            "{} is a symbolic link to {}",
            shown(path),
            shown(Path::new(&target))
        );
        if self.links > LINKS {
            let verdict = Verdict::new(
                Exit::Failed,
                "loop",
                format!("too many symbolic links, or a circle of them: after {LINKS}, {text}"),
                "give the path of the socket itself, or set the links right",
            );
            let step =
                format!("more than {LINKS} symbolic links, which the kernel does not follow");
            self.report.no(Check::Link, step, verdict);
            return Some(End::Stopped);
        }
        // The kernel looks at this only for the last name.
        if self.rest.is_empty() && !self.may_follow(stat) {
            let verdict = Verdict::new(
                Exit::NotPermitted,
                "protected-link",
                format!(
                    "the kernel does not follow {}: a link of another user in a directory that all may write",
                    shown(path)
                ),
                "give the path of the socket itself, or let the directory's owner make the link \
                 (fs.protected_symlinks)",
            );
            let step = format!("{text}, of another user in a sticky directory that all may write");
            self.report.no(Check::Link, step, verdict);
        } else if is_new {
            self.report.ok(Check::Link, text);
        }
        self.linked = self.rest.is_empty() || self.linked;
        if fstatfs(file).is_ok_and(|found| found.f_type as u32 == PROC_SUPER_MAGIC) {
            if let Some(pid) = process_link::process_of(&self.directory, name)
                && !self.user.is_caller
                && !process_link::may_follow(self.user, pid)
            {
                self.closed_process(path);
            }
            return self.jump(name, path);
        }
        if target.as_bytes().starts_with(b"/") {
            let root = self.user.root.as_path();
            if let Some(jumped) = self.jumped.take().filter(|_| root == Path::new("/")) {
                let text = format!("that link leads out of {}, to our own root", shown(&jumped));
                self.report.note(Check::Link, text);
            }
            match open(CWD, root.as_os_str(), OFlags::DIRECTORY) {
                Ok(directory) => (self.directory, self.shown) = (directory, root.to_owned()),
                Err(errno) => return Some(stop(self.report, root, errno)),
            }
        }
        self.push(&target);
        None
    }

    fn closed_process(&mut self, path: &Path) {
        let text = format!(
            "{} may not be followed by {}, which takes ptrace access to that process",
            shown(path),
            self.user
        );
        let advice = "connect as root (CAP_SYS_PTRACE), or with the ids of that process; or give a \
                      path that leads there without /proc";
        let verdict = Verdict::new(Exit::NotPermitted, "process", text.clone(), advice);
        self.report.no(Check::Link, text, verdict);
    }

    /// Lets the kernel follow a link of /proc.
    fn jump(&mut self, name: &OsStr, path: &Path) -> Option<End> {
        let found = open(&self.directory, name, OFlags::empty()).and_then(|file| {
            let stat = fstat(&file)?;
            Ok((file, stat))
        });
        let (file, stat) = match found {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                let (path, what) = (path.to_owned(), Missing::Target);
                return Some(End::Missing { path, what });
            }
            Err(errno) => return Some(stop(self.report, path, errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                (self.directory, self.shown) = (file, path.to_owned());
                self.jumped = Some(path.to_owned());
                return None;
            }
            _ if !self.rest.is_empty() => self.no_directory(path),
            FileType::Socket => {
                self.socket(name, path, &file, &stat);
                let (path, file) = (path.to_owned(), FileId::from(&stat));
                return Some(End::Socket { path, file });
            }
            _ => return Some(not_a_socket(path.to_owned(), &stat)),
        }
        Some(End::Stopped)
    }

    fn may_follow(&self, link: &Stat) -> bool {
        let protected = std::fs::read_to_string("/proc/sys/fs/protected_symlinks");
        let is_on = protected.is_ok_and(|value| value.trim() == "1");
        let directory = fstat(&self.directory).map(|stat| guard_of(&stat));
        !is_on
            || directory
                .is_ok_and(|d| permission::may_follow(self.user.uid, ids::uid(link.st_uid), d))
    }
}

fn open(at: impl std::os::fd::AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(
        at,
        name,
        OFlags::PATH | OFlags::CLOEXEC | flags,
        Mode::empty(),
    )
}

fn not_a_socket(path: PathBuf, stat: &Stat) -> End {
    End::NotASocket {
        path,
        file: FileId::from(stat),
        mode: stat.st_mode,
    }
}

/// A system call that failed for no reason that is known here.
fn stop(report: &mut Report, path: &Path, errno: Errno) -> End {
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
    let verdict = Verdict::new(exit, "io", format!("the way ends at {text}"), advice);
    report.no(Check::File, text, verdict);
    End::Stopped
}
