//! Which file system a file is on.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags, statx};

/// The type of the file system that an open file is on, as mount(8) names it (`ext4`,
/// `fuse.sshfs`); `None` where that cannot be known.
pub(crate) fn file_system_of(file: impl AsFd) -> Option<String> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let has_id = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    has_id.then(|| type_in(&mounts, found.stx_mnt_id))?
}

/// proc_pid_mountinfo(5): the id comes first, the type after a lone hyphen.
fn type_in(mounts: &str, id: u64) -> Option<String> {
    let id = id.to_string();
    let mut lines = mounts.lines().map(str::split_ascii_whitespace);
    let mut line = lines.find_map(|mut line| (line.next() == Some(&id)).then_some(line))?;
    line.find(|&field| field == "-")?;
    line.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_follows_the_hyphen() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            36 21 0:34 / /mnt rw,nosuid shared:1 master:2 - fuse.sshfs host:/ rw\n";
        assert_eq!(type_in(mounts, 36).as_deref(), Some("fuse.sshfs"));
        assert_eq!(type_in(mounts, 21).as_deref(), Some("ext4"));
        assert_eq!(type_in(mounts, 3), None);
    }

    #[test]
    fn proc_is_on_proc() {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert_eq!(file_system_of(file).as_deref(), Some("proc"));
    }
}
