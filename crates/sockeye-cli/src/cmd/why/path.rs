//! The way to a socket file, walked as the kernel walks it (path_resolution(7)), a name at a time.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, fstat, fstatfs, getxattr, openat,
    readlinkat,
};
use rustix::io::Errno;

use super::permission::{self, Guard, Rule, Want};
use super::report::{Check, Report, Verdict};
use super::through;
use super::user::{User, owner};
use crate::exit::Exit;
use crate::output::escape;

/// As many symbolic links as the kernel follows.
const LINKS: u32 = 40;
/// linux/magic.h: its links may lead to what has no path.
const PROC_SUPER_MAGIC: u32 = 0x9fa0;

/// Where the way ended.
#[derive(Debug)]
pub(super) enum End {
    /// At a socket file.
    Socket { path: PathBuf, stat: Stat },
    /// At something else.
    NotASocket { path: PathBuf, file: FileType },
    /// At a name that does not exist.
    Missing { path: PathBuf, what: Missing },
    /// At what the report says.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    File,
    Directory,
    /// Of a symbolic link.
    Target,
}

/// Walks from `/`, or from here for a relative path, and reports each step.
pub(super) fn walk(path: &Path, user: &User, report: &mut Report) -> End {
    let here = std::env::current_dir().unwrap_or_default();
    // Another user would start elsewhere.
    let path = match user.is_caller || path.is_absolute() {
        true => path.to_owned(),
        false => here.join(path),
    };
    let (start, shown) = match path.is_absolute() {
        true => ("/", PathBuf::from("/")),
        false => (".", here),
    };
    let directory = match open(CWD, OsStr::new(start), OFlags::DIRECTORY) {
        Ok(directory) => directory,
        Err(errno) => return stop(report, &shown, errno),
    };
    let mut walk = Walk {
        user,
        report,
        rest: Vec::new(),
        directory,
        shown,
        told: HashSet::new(),
        links: 0,
        linked: false,
    };
    walk.push(path.as_os_str());
    walk.run()
}

struct Walk<'a> {
    user: &'a User,
    report: &'a mut Report,
    /// The names to come, the next one last.
    rest: Vec<OsString>,
    directory: OwnedFd,
    shown: PathBuf,
    /// Directories and links that were reported.
    told: HashSet<(u64, u64)>,
    links: u32,
    /// Whether the last name came from a link.
    linked: bool,
}

impl Walk<'_> {
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
        End::NotASocket {
            path: self.shown,
            file: FileType::Directory,
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
        let asked = accessat(&self.directory, ".", Access::EXEC_OK, AtFlags::EACCESS);
        let sentence = Sentence {
            check: Check::Directory,
            want: Want::Search,
            cause: "directory",
            path: &self.shown,
            subject: shown(&self.shown).to_string(),
        };
        let allowed = sentence.tell(self.user, self.report, &stat, &self.directory, asked);
        if asked != Err(Errno::ACCESS) {
            return None;
        }
        if allowed {
            let path = shown(&self.shown);
            let verdict = Verdict::new(
                Exit::Incomplete,
                "unseen",
                format!("it cannot be told: you may not look beyond {path} yourself"),
                format!("run this as root, or as {}", self.user),
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
                self.shown.pop();
                None
            }
            Err(errno) => Some(stop(self.report, &self.shown, errno)),
        }
    }

    fn descend(&mut self, name: &OsStr) -> Option<End> {
        let path = self.shown.join(name);
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
                return Some(End::Socket { path, stat });
            }
            file => return Some(End::NotASocket { path, file }),
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
        let asked = accessat(&self.directory, name, Access::WRITE_OK, AtFlags::EACCESS);
        let sentence = Sentence {
            check: Check::Permission,
            want: Want::Write,
            cause: "permission",
            path,
            subject: "the socket file".to_owned(),
        };
        sentence.tell(self.user, self.report, stat, file, asked);
    }

    fn follow(&mut self, name: &OsStr, path: &Path, file: &OwnedFd, stat: &Stat) -> Option<End> {
        self.links += 1;
        let is_new = self.told.insert((stat.st_dev, stat.st_ino));
        let target = match readlinkat(file, "", Vec::new()) {
            Ok(target) => OsStr::from_bytes(target.as_bytes()).to_owned(),
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
                format!("the symbolic links lead in a circle: after {LINKS} of them, {text}"),
                "remove the wrong link, or give the path of the socket itself",
            );
            let step = format!("more than {LINKS} symbolic links: they lead in a circle");
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
            return self.jump(name, path);
        }
        if target.as_bytes().starts_with(b"/") {
            match open(CWD, OsStr::new("/"), OFlags::DIRECTORY) {
                Ok(root) => (self.directory, self.shown) = (root, PathBuf::from("/")),
                Err(errno) => return Some(stop(self.report, Path::new("/"), errno)),
            }
        }
        self.push(&target);
        None
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
        let real = std::fs::read_link(through(&file)).unwrap_or_else(|_| path.to_owned());
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                (self.directory, self.shown) = (file, real);
                return None;
            }
            _ if !self.rest.is_empty() => self.no_directory(&real),
            FileType::Socket => {
                self.socket(name, &real, &file, &stat);
                return Some(End::Socket { path: real, stat });
            }
            file => return Some(End::NotASocket { path: real, file }),
        }
        Some(End::Stopped)
    }

    fn may_follow(&self, link: &Stat) -> bool {
        let protected = std::fs::read_to_string("/proc/sys/fs/protected_symlinks");
        let is_on = protected.is_ok_and(|value| value.trim() == "1");
        let directory = fstat(&self.directory).map(|stat| guard_of(&stat));
        !is_on || directory.is_ok_and(|d| permission::may_follow(self.user.uid, link.st_uid, d))
    }
}

/// What is said of a permission.
struct Sentence<'a> {
    check: Check,
    want: Want,
    cause: &'static str,
    path: &'a Path,
    subject: String,
}

impl Sentence<'_> {
    /// Reports whether the user has the permission, and returns it. For who runs this command the
    /// kernel has `asked`, which knows more than the bits; for others the bits are all there is.
    fn tell(
        &self,
        user: &User,
        report: &mut Report,
        stat: &Stat,
        file: &OwnedFd,
        asked: Result<(), Errno>,
    ) -> bool {
        let guard = guard_of(stat);
        let list = access_list(file);
        let (by_bits, rule) = permission::judge(user, guard, list.as_deref(), self.want);
        let allowed = match (user.is_caller, asked) {
            (true, Ok(())) => true,
            (true, Err(Errno::ACCESS)) => false,
            _ => by_bits,
        };
        let mode = format!(
            "mode {:04o}, {}",
            guard.mode & 0o7777,
            owner(guard.uid, guard.gid)
        );
        let subject = &self.subject;
        let done = match self.want {
            Want::Search => "searched",
            Want::Write => "written",
        };
        let letter = self.want.letter();
        if allowed {
            let why = match (by_bits, rule) {
                (true, Rule::AccessList) => format!("{mode}, and an access list"),
                (true, Rule::Capability) => format!("{mode}; root may do without {letter}"),
                _ => mode,
            };
            report.ok(self.check, format!("{subject} may be {done} ({why})"));
            return true;
        }
        let why = match by_bits {
            true => format!(
                "{mode}: the bits permit it, but a security module or a user namespace does not"
            ),
            false => format!("{mode}: no {letter} for {}", rule.in_words()),
        };
        let text = format!("{subject} may not be {done} by {user} ({why})");
        let verdict = match self.want {
            Want::Search => format!("{user} may not pass the directory {subject} ({why})"),
            Want::Write => {
                format!("{user} may not write {subject}, which connecting takes ({why})")
            }
        };
        let verdict = Verdict::new(
            Exit::NotPermitted,
            self.cause,
            verdict,
            self.advice(rule, by_bits, user, guard),
        );
        report.no(self.check, text, verdict);
        false
    }

    fn advice(&self, rule: Rule, by_bits: bool, user: &User, guard: Guard) -> String {
        let letter = self.want.letter();
        let path = shown(self.path);
        match (by_bits, rule) {
            (true, _) => "look for a denial in the audit log, or ask the administrator".to_owned(),
            (_, Rule::Owner) => format!("chmod u+{letter} {path}"),
            (_, Rule::Group) => format!("let its owner chmod g+{letter} {path}"),
            (_, Rule::AccessList) => {
                format!("let its owner change the access list: setfacl on {path}")
            }
            // Opening it to everybody would be worse advice than a group.
            _ if guard.mode & (0o10 | 0o20) & (self.want_bits() << 3) != 0 => format!(
                "add {user} to the group of {path} ({})",
                owner(guard.uid, guard.gid)
            ),
            _ => match self.want {
                Want::Search => {
                    format!("give the directory to a group of {user} and chmod g+x {path}")
                }
                Want::Write => format!(
                    "let the server make the socket for a group of {user}: sockeye serve --mode 0660 --owner :GROUP"
                ),
            },
        }
    }

    fn want_bits(&self) -> u32 {
        match self.want {
            Want::Search => 1,
            Want::Write => 2,
        }
    }
}

fn guard_of(stat: &Stat) -> Guard {
    Guard {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

fn access_list(file: &OwnedFd) -> Option<Vec<permission::Entry>> {
    // XATTR_SIZE_MAX is 64 KiB; a list that long is nobody's.
    let mut attribute = [0; 4096];
    let name = "system.posix_acl_access";
    let length = getxattr(through(file), name, &mut attribute[..]).ok()?;
    permission::decode(&attribute[..length])
}

fn open(at: impl std::os::fd::AsFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(
        at,
        name,
        OFlags::PATH | OFlags::CLOEXEC | flags,
        Mode::empty(),
    )
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

pub(super) fn shown(path: &Path) -> impl Display {
    escape::bytes(path.as_os_str().as_bytes())
}
