//! Symbolic links on the way to a socket file (path_resolution(7)).

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, OFlags, Stat, fstat, fstatfs, readlinkat};
use rustix::io::Errno;
use sockeye::claim::ProcessLink;
use sockeye::ids;

use super::attributes::attributes_of;
use super::path::{PathWalk, not_a_socket, open, stop};
use super::permission;
use super::process_link;
use super::report::{Check, Verdict, WhyReport, shown};
use super::walk_end::{MissingPart, WalkEnd, WalkedFile};
use crate::exit::Exit;

/// As many symbolic links as the kernel follows.
const LINKS: u32 = 40;
/// linux/magic.h: links of /proc may lead to what has no path.
const PROC_SUPER_MAGIC: u32 = 0x9fa0;

impl<B: FnMut(&mut WhyReport, &Path)> PathWalk<'_, B> {
    pub(super) fn follow(
        &mut self,
        name: &OsStr,
        path: &Path,
        file: &OwnedFd,
        stat: &Stat,
    ) -> Option<WalkEnd> {
        self.links += 1;
        let is_new = self.reported.insert((stat.st_dev, stat.st_ino));
        let target = match readlinkat(file, "", Vec::new()) {
            Ok(target) => OsStr::from_bytes(target.as_bytes()).to_owned(),
            Err(Errno::ACCESS) => {
                self.closed_process(path);
                return Some(WalkEnd::Stopped);
            }
            Err(errno) => return Some(stop(self.report, path, errno)),
        };
        let text = format!(
            "{} is a symbolic link to {}",
            shown(path),
            shown(Path::new(&target))
        );
        if self.links > LINKS {
            self.too_many_links(&text);
            return Some(WalkEnd::Stopped);
        }
        // The kernel checks this for the last name only.
        if self.rest.is_empty() && !self.may_follow(stat) {
            self.protected_link(path, &text);
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

    /// `last` describes the last link.
    fn too_many_links(&mut self, last: &str) {
        let text = format!("more than {LINKS} symbolic links, which the kernel does not follow");
        let verdict = Verdict::new(
            Exit::Failed,
            "loop",
            format!("too many symbolic links, or a circle of them: after {LINKS}, {last}"),
            "give the path of the socket itself, or fix the links",
        );
        self.report.no(Check::Link, text, verdict);
    }

    fn protected_link(&mut self, path: &Path, link: &str) {
        let text = format!("{link}, of another user in a sticky directory that all may write");
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
        self.report.no(Check::Link, text, verdict);
    }

    fn closed_process(&mut self, path: &Path) {
        let text = ProcessLink::new(path).is_closed_to(self.user);
        let advice = ProcessLink::ADVICE;
        let verdict = Verdict::new(Exit::NotPermitted, "process", text.clone(), advice);
        self.report.no(Check::Link, text, verdict);
    }

    /// Lets the kernel follow a link of /proc.
    fn jump(&mut self, name: &OsStr, path: &Path) -> Option<WalkEnd> {
        let found = open(&self.directory, name, OFlags::empty()).and_then(|file| {
            let stat = fstat(&file)?;
            Ok((file, stat))
        });
        let (file, stat) = match found {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                let (path, what) = (path.to_owned(), MissingPart::Target);
                return Some(WalkEnd::MissingPart { path, what });
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
                let (path, file) = (path.to_owned(), WalkedFile::from(&stat));
                return Some(WalkEnd::Socket { path, file });
            }
            _ => return Some(not_a_socket(path.to_owned(), &stat)),
        }
        Some(WalkEnd::Stopped)
    }

    fn may_follow(&self, link: &Stat) -> bool {
        let protected = std::fs::read_to_string("/proc/sys/fs/protected_symlinks");
        let is_on = protected.is_ok_and(|value| value.trim() == "1");
        let directory = fstat(&self.directory).map(|stat| attributes_of(&stat));
        !is_on
            || directory
                .is_ok_and(|d| permission::may_follow(self.user.uid, ids::uid(link.st_uid), d))
    }
}
