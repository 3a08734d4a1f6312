//! Mounts of a single file, in all mount namespaces (proc_pid_mountinfo(5)).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Stat, major, minor, stat};

use crate::inspect::{mounts, procfs};

/// How many mounts show this very file, of the namespaces of processes that we may look at. Only files
/// of its own file system with its name are looked at.
pub(super) fn count(file: &Stat, base: &OsStr) -> usize {
    let mut seen = HashSet::new();
    let mut count = 0;
    for pid in procfs::pids() {
        let namespace = stat(format!("/proc/{pid}/ns/mnt"));
        if !namespace.is_ok_and(|namespace| seen.insert(namespace.st_ino)) {
            continue;
        }
        let table = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        let points = table
            .split(|&byte| byte == b'\n')
            .filter_map(|line| mounted_at(line, file, base));
        let root = format!("/proc/{pid}/root");
        let is_it = |point: &Path| {
            let point = point.strip_prefix("/").unwrap_or(point);
            let found = stat(Path::new(&root).join(point));
            found.is_ok_and(|found| (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino))
        };
        count += points.filter(|point| is_it(point)).count();
    }
    count
}

/// Where a file of that name and file system is mounted by a line of mountinfo.
fn mounted_at(line: &[u8], file: &Stat, base: &OsStr) -> Option<std::path::PathBuf> {
    let mut fields = line.split(|&byte| byte == b' ');
    let device = fields.nth(2)?;
    let root = mounts::unescaped(fields.next()?);
    let point = mounts::unescaped(fields.next()?);
    let (major_of, minor_of) = str::from_utf8(device).ok()?.split_once(':')?;
    let is_same =
        (major_of.parse(), minor_of.parse()) == (Ok(major(file.st_dev)), Ok(minor(file.st_dev)));
    let is_named = root.as_os_str().as_bytes().ends_with(base.as_bytes());
    (is_same && is_named).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_names_a_mounted_file() {
        let file = stat("/proc/self/exe").unwrap();
        let device = format!("{}:{}", major(file.st_dev), minor(file.st_dev));
        let line = |root: &str| format!("36 35 {device} {root} /a\\040b rw - ext4 /dev/x rw");
        let at = |root: &str| mounted_at(line(root).as_bytes(), &file, OsStr::new("app.sock"));
        assert_eq!(at("/run/app.sock"), Some("/a b".into()));
        assert_eq!(at("/run"), None);
        assert_eq!(
            mounted_at(b"1 2 9:9 /app.sock /x rw", &file, OsStr::new("app.sock")),
            None
        );
    }
}
