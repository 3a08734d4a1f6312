//! [`Mounts`]: which file system a file or a device is of (proc_pid_mountinfo(5)).

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, fstatfs, statx};

/// What the identity of a file says about the sockets that are bound to it: the kernel binds a
/// socket to an inode, and a file system can show the file of another one under an inode of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FsClass {
    /// It shows its own files only, with the kernel's own inodes.
    Own,
    /// overlayfs: it shows the files of its layers, under their inode numbers.
    Overlay,
    /// It shows files of others under numbers of its choice: FUSE and its like, by that name.
    View(&'static str),
    /// Other machines use it too, and have sockets of their own: NFS and its like, by that name.
    Shared(&'static str),
}

impl FsClass {
    /// What may be one of those, and is a view until it is known not to be: only proof is stale.
    const UNKNOWN: Self = Self::View("a file system of unknown type");

    /// By the type of the file system, as mount(8) names it.
    fn of_type(name: &str) -> Self {
        match name {
            "overlay" => Self::Overlay,
            "nfs" | "nfs4" => Self::Shared("NFS"),
            "cifs" | "smb3" | "smbfs" => Self::Shared("SMB"),
            "9p" => Self::Shared("9p"),
            "virtiofs" => Self::Shared("virtiofs"),
            "ceph" => Self::Shared("Ceph"),
            "afs" => Self::Shared("AFS"),
            "beegfs" | "coda" | "gfs2" | "gpfs" | "lustre" | "ocfs2" | "orangefs" | "panfs"
            | "prl_fs" | "vboxsf" | "vmhgfs" => Self::Shared("a network file system"),
            "fuse" | "fuseblk" => Self::View("FUSE"),
            name if name.starts_with("fuse.") => Self::View("FUSE"),
            "ecryptfs" => Self::View("eCryptfs"),
            "aufs" | "shiftfs" | "unionfs" => Self::View("a union file system"),
            "bcachefs" | "btrfs" | "devtmpfs" | "erofs" | "ext2" | "ext3" | "ext4" | "f2fs"
            | "hfsplus" | "hugetlbfs" | "jffs2" | "jfs" | "minix" | "nilfs2" | "ntfs3"
            | "ramfs" | "reiserfs" | "rootfs" | "squashfs" | "tmpfs" | "ubifs" | "udf" | "xfs"
            | "zfs" => Self::Own,
            _ => Self::UNKNOWN,
        }
    }

    /// By the magic number of statfs(2) (linux/magic.h).
    fn of_magic(magic: u32) -> Self {
        match magic {
            OVERLAYFS => Self::Overlay,
            0x6573_5546 => Self::View("FUSE"),
            0xf15f => Self::View("eCryptfs"),
            0x6969 => Self::Shared("NFS"),
            0xff53_4d42 | 0xfe53_4d42 | 0x517b => Self::Shared("SMB"),
            0x0102_1997 => Self::Shared("9p"),
            0x00c3_6400 => Self::Shared("Ceph"),
            0x5346_414f | 0x6b41_4653 => Self::Shared("AFS"),
            // coda, gfs2, ocfs2, orangefs, vboxsf, lustre, gpfs, beegfs, panfs, vmhgfs, prl_fs
            0x7375_7245 | 0x0116_1970 | 0x7461_636f | 0x2003_0528 | 0x786f_4256 | 0x0bd0_0bd0
            | 0x4750_4653 | 0x1983_0326 | 0xaad7_aaea | 0xbacb_acbc | 0x7c7c_6673 => {
                Self::Shared("a network file system")
            }
            // tmpfs, ramfs, hugetlbfs, ext2 and its successors, xfs
            0x0102_1994 | 0x8584_58f6 | 0x9584_58f6 | 0xef53 | 0x5846_5342 => Self::Own,
            // f2fs, zfs, jfs, reiserfs, nilfs2
            0xf2f5_2010 | 0x2fc1_2fc1 | 0x3153_464a | 0x5265_4973 | 0x3434 => Self::Own,
            // jffs2, ubifs, udf, hfsplus, squashfs, erofs, ntfs3
            0x72b6 | 0x2405_1905 | 0x1501_3346 | 0x482b | 0x7371_7368 | 0xe0f5_e1e2
            | 0x7366_746e => Self::Own,
            // minix
            0x137f | 0x138f | 0x2468 | 0x2478 | 0x4d5a => Self::Own,
            BTRFS | BCACHEFS => Self::Own,
            _ => Self::UNKNOWN,
        }
    }

    /// Its name in a sentence.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "the same file system",
            Self::Overlay => "overlayfs",
            Self::View(name) | Self::Shared(name) => name,
        }
    }
}

// linux/magic.h; the last one is BCACHEFS_STATFS_MAGIC
const OVERLAYFS: u32 = 0x794c_7630;
const BTRFS: u32 = 0x9123_683e;
const BCACHEFS: u32 = 0xca45_1a4e;

/// Whether stat(2) shows another device than the file system's own.
pub(super) fn hides_its_device(magic: u32) -> bool {
    [OVERLAYFS, BTRFS, BCACHEFS].contains(&magic)
}

/// Whether an inode number alone does not tell its files apart.
pub(super) fn has_subvolumes(magic: u32) -> bool {
    [BTRFS, BCACHEFS].contains(&magic)
}

/// The type of the file system that an open file is on, as mount(8) names it (`ext4`,
/// `fuse.sshfs`); `None` where that cannot be known.
pub(crate) fn file_system_of(file: impl AsFd) -> Option<String> {
    let mounts = Mounts::default();
    let mount = mounts.with_id(mount_id(file, Path::new(""))?)?;
    Some(mount.kind.clone())
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The type of the file system, as mount(8) names it (`tmpfs`, `fuse.sshfs`).
    pub kind: String,
    id: u64,
    /// As sock_diag(7) shows it.
    device: u32,
}

impl Mount {
    /// The mount of this process's namespace that a path leads to by its name alone: links are not
    /// followed, and no file system is asked, so that none can hang.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        above(Mounts::default().here(), &path).cloned()
    }

    /// The names in a directory on which something is mounted. For these, readdir(3) describes the
    /// files under the mounts.
    #[must_use]
    pub fn names_in(directory: &Path) -> Vec<OsString> {
        let Ok(directory) = std::fs::canonicalize(directory) else {
            return Vec::new();
        };
        let mounts = Mounts::default();
        let points = mounts.here().iter().map(|mount| &mount.point);
        points
            .filter(|point| point.parent() == Some(&directory))
            .filter_map(|point| Some(point.file_name()?.to_owned()))
            .collect()
    }

    /// Whether another process or machine serves its files, so that a look at one may hang.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        let by_others = matches!(self.class(), FsClass::View("FUSE") | FsClass::Shared(_));
        by_others || self.kind == "autofs"
    }

    fn class(&self) -> FsClass {
        FsClass::of_type(&self.kind)
    }
}

/// The mounts of this thread's mount namespace, read once they are needed.
#[derive(Default)]
pub(crate) struct Mounts(OnceCell<Vec<Mount>>);

impl Mounts {
    /// Whether `other` hangs if `one` does: in the same directory, or on a mount that another process
    /// or machine serves.
    pub(super) fn hang_together(&self, one: &Path, other: &Path) -> bool {
        let mount = above(self.here(), one);
        one.parent() == other.parent()
            || mount.is_some_and(Mount::is_remote) && mount == above(self.here(), other)
    }

    fn here(&self) -> &[Mount] {
        self.0.get_or_init(|| read("thread-self"))
    }

    /// The class of the file system with this device, as sock_diag(7) shows it, among the mounts of
    /// this namespace.
    pub(crate) fn class_of(&self, device: u32) -> Option<FsClass> {
        class_among(self.here(), device)
    }

    /// The class of the file system that `file` is of.
    pub(crate) fn class_at(&self, file: impl AsFd) -> FsClass {
        let file = file.as_fd();
        // The type tells more than the magic number, but only where the mount is ours.
        let mount = mount_id(file, Path::new("")).and_then(|id| self.with_id(id));
        mount.map_or_else(
            || {
                fstatfs(file).map_or(FsClass::UNKNOWN, |found| {
                    FsClass::of_magic(found.f_type as u32)
                })
            },
            Mount::class,
        )
    }

    /// The device of the file system itself that a file is of: `path` from `at`, or `at` itself. stat(2)
    /// can show another one.
    pub(super) fn device_at(&self, at: impl AsFd, path: &Path) -> Option<u32> {
        Some(self.with_id(mount_id(at, path)?)?.device)
    }

    fn with_id(&self, id: u64) -> Option<&Mount> {
        self.here().iter().find(|mount| mount.id == id)
    }
}

/// As [`Mounts::class_of`], among the mounts that a process has.
pub(crate) fn class_for(pid: i32, device: u32) -> Option<FsClass> {
    class_among(&read(&pid.to_string()), device)
}

/// The one that a path is on by its name.
fn above<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    // Of those at one place the last one covers the others.
    above.max_by_key(|mount| mount.point.as_os_str().len())
}

fn class_among(mounts: &[Mount], device: u32) -> Option<FsClass> {
    let mount = mounts.iter().find(|mount| mount.device == device)?;
    Some(mount.class())
}

/// The number of the mount that a file is on (Linux 5.8).
fn mount_id(at: impl AsFd, path: &Path) -> Option<u64> {
    let flags = AtFlags::EMPTY_PATH;
    let found = statx(at, path, flags, StatxFlags::MNT_ID).ok()?;
    let is_told = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    is_told.then_some(found.stx_mnt_id)
}

/// Whether a file is what was mounted at its path: a bind mount of a single file.
pub(crate) fn is_mount_root(file: impl AsFd) -> bool {
    statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn read(process: &str) -> Vec<Mount> {
    let text = std::fs::read(format!("/proc/{process}/mountinfo")).unwrap_or_default();
    text.split(|&byte| byte == b'\n')
        .filter_map(parse)
        .collect()
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw`
pub(crate) fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ').map(str::from_utf8);
    let mut next = || fields.next()?.ok();
    let id = next()?.parse().ok()?;
    next()?;
    let (major, minor) = next()?.split_once(':')?;
    let device = (major.parse::<u32>().ok()? << 20) | minor.parse::<u32>().ok()?;
    // The root in the file system comes before it.
    let point = unescaped(line.split(|&byte| byte == b' ').nth(4)?);
    // The number of optional fields varies.
    let mut rest = line
        .split(|&byte| byte == b' ')
        .skip_while(|&field| field != b"-");
    let kind = str::from_utf8(rest.nth(1)?).ok()?;
    Some(Mount {
        point,
        kind: kind.to_owned(),
        id,
        device,
    })
}

/// `\040` is a space there.
pub(crate) fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if byte == b'\\' => {
                path.push(escaped);
                rest = &after[3..];
            }
            _ => {
                path.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::diag::FileId;

    #[test]
    fn lines_of_mountinfo() {
        let line = b"36 35 254:3 / /mnt\\0402 rw,noatime master:1 shared:7 - fuse.bindfs /a rw";
        let mount = Mount {
            point: "/mnt 2".into(),
            kind: "fuse.bindfs".to_owned(),
            id: 36,
            device: (254 << 20) | 3,
        };
        assert_eq!(mount.class(), FsClass::View("FUSE"));
        assert_eq!(parse(line), Some(mount));
        let line = b"37 35 0:51 / /x rw - overlay overlay rw,lowerdir=/l";
        assert_eq!(
            parse(line).map(|mount| mount.class()),
            Some(FsClass::Overlay)
        );
        assert_eq!(parse(b"37 35 0:51 / /x rw"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn the_longest_mount_point_and_the_last_one_there_counts() {
        let mount = |point: &str, kind: &str| Mount {
            point: point.into(),
            kind: kind.into(),
            id: 0,
            device: 0,
        };
        let mounts = [
            mount("/", "ext4"),
            mount("/run", "tmpfs"),
            mount("/run", "nfs4"),
            mount("/run/user/1", "tmpfs"),
        ];
        let kind = |path: &str| above(&mounts, Path::new(path)).unwrap().kind.as_str();
        assert_eq!(kind("/run/a"), "nfs4");
        assert_eq!(kind("/running"), "ext4");
        assert_eq!(kind("/run/user/1/a"), "tmpfs");
        assert!(mounts[2].is_remote() && !mounts[1].is_remote());
        let mounts = Mounts(mounts.to_vec().into());
        let together = |one: &str, other: &str| mounts.hang_together(one.as_ref(), other.as_ref());
        assert!(together("/run/a", "/run/below/b"));
        assert!(together("/run/user/1/a", "/run/user/1/b"));
        assert!(!together("/a", "/home/b"));
        assert!(!together("/run/a", "/run/user/1/a"));
    }

    #[test]
    fn a_directory_is_found_with_its_file_system() {
        let mounts = Mounts::default();
        let proc = std::fs::File::open("/proc/self").unwrap();
        let device = mounts.device_at(&proc, Path::new("")).unwrap();
        let stat = rustix::fs::fstat(&proc).unwrap();
        let id = FileId::new(0, stat.st_dev);
        assert_eq!(device, id.device);
        assert_eq!(mounts.class_of(device), Some(FsClass::UNKNOWN));
        assert_eq!(mounts.class_at(&proc), FsClass::UNKNOWN);
        assert_eq!(file_system_of(&proc).as_deref(), Some("proc"));
    }

    #[test]
    fn only_a_file_system_that_is_known_shows_its_own_files() {
        for (name, magic, class) in [
            ("ext4", 0xef53, FsClass::Own),
            ("tmpfs", 0x0102_1994, FsClass::Own),
            ("btrfs", BTRFS, FsClass::Own),
            ("overlay", OVERLAYFS, FsClass::Overlay),
            (
                "lustre",
                0x0bd0_0bd0,
                FsClass::Shared("a network file system"),
            ),
            (
                "gpfs",
                0x4750_4653,
                FsClass::Shared("a network file system"),
            ),
            ("a new one", 0x1234_5678, FsClass::UNKNOWN),
            ("", 0, FsClass::UNKNOWN),
        ] {
            assert_eq!(FsClass::of_type(name), class, "{name}");
            assert_eq!(FsClass::of_magic(magic), class, "{name}");
        }
        assert!(matches!(FsClass::UNKNOWN, FsClass::View(_)));
    }

    #[test]
    fn where_the_mounts_cannot_be_read_the_magic_number_tells() {
        let none = || Mounts(Vec::new().into());
        let proc = std::fs::File::open("/proc/self").unwrap();
        assert_eq!(none().class_at(&proc), FsClass::UNKNOWN);
        let memory = std::fs::File::open("/dev/shm");
        if let Ok(memory) = memory
            && file_system_of(&memory).as_deref() == Some("tmpfs")
        {
            assert_eq!(none().class_at(&memory), FsClass::Own);
        }
    }
}
