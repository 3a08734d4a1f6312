//! File systems that cannot hold sockets, or do not keep modes: named as that, and left as they were.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Finished, Place, is_root, require_peer, require_python_module, run, skipped};

/// Passes all through to another directory, but for what the first argument says.
const THROUGH: &str = r#"
import errno, os, struct, sys, fusepy as fuse
fault, root, mountpoint = sys.argv[1:]
fault, _, shown = fault.partition(' and ')

class Through(fuse.Operations):
    def getattr(self, path, fh=None):
        st = os.lstat(root + path)
        found = {k: getattr(st, k) for k in ('st_mode', 'st_nlink', 'st_size', 'st_uid', 'st_gid')}
        if fault == 'mode' and path != '/':
            found['st_mode'] |= 0o777
        if shown and path != '/':
            found[shown.split('=')[0]] = int(shown.split('=')[1])
        return found
    def readdir(self, path, fh):
        return ['.', '..'] + os.listdir(root + path)
    def create(self, path, mode, fi=None):
        return os.open(root + path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    def open(self, path, flags):
        return os.open(root + path, flags)
    def release(self, path, fh):
        os.close(fh)
        return 0
    def chmod(self, path, mode):
        return os.chmod(root + path, mode)
    def unlink(self, path):
        return os.unlink(root + path)
    def mknod(self, path, mode, dev):
        if fault == 'file':
            os.close(os.open(root + path, os.O_CREAT | os.O_EXCL, 0o700))
            return 0
        if hasattr(errno, fault):
            raise fuse.FuseOSError(getattr(errno, fault))
        return os.mknod(root + path, mode, dev)
    def getxattr(self, path, name, position=0):
        if fault == 'list' and name == 'system.posix_acl_access':
            entries = (1, 7, -1), (2, 7, 1001), (4, 7, -1), (0x10, 7, -1), (0x20, 0, -1)
            return struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *e) for e in entries)
        raise fuse.FuseOSError(errno.ENODATA)
    def removexattr(self, path, name):
        raise fuse.FuseOSError(errno.EACCES)

fuse.FUSE(Through(), mountpoint, foreground=True, nothreads=True, hard_remove=True)
"#;

/// In a mount namespace of its own: mounts, serves, and says what is left below.
const SERVE: &str = r#"
"$PYTHON" -c "$THROUGH" "$1" "$2" "$3" 2>/dev/null & fuse=$!
mountpoint=$3
trap 'umount -l "$mountpoint"; wait' EXIT
until mountpoint -q "$3"; do kill -0 "$fuse" || exit 99; sleep 0.02; done
shift 3
"$SOCKEYE" serve "$@"
"#;

fn serve(below: &Path, mountpoint: &Path, fault: &str, arguments: &[&OsStr]) -> Option<Finished> {
    if !is_root() {
        skipped("only root can mount");
        return None;
    }
    let (unshare, python) = (require_peer("unshare")?, require_python_module("fusepy")?);
    let mut command = Command::new(unshare);
    command
        .args([
            "-m",
            "--propagation",
            "private",
            "bash",
            "-c",
            SERVE,
            "serve",
            fault,
        ])
        .args([below, mountpoint])
        .args(arguments)
        .env("PYTHON", python)
        .env("THROUGH", THROUGH)
        .env("SOCKEYE", env!("CARGO_BIN_EXE_sockeye"));
    Some(run(&mut command))
}

/// The directory that is mounted, and the one that it shows.
fn places() -> (Place, PathBuf, PathBuf) {
    let place = Place::new();
    let (below, mountpoint) = (place.at("below"), place.at("mnt"));
    for directory in [&below, &mountpoint] {
        std::fs::create_dir(directory).expect("our own place");
    }
    (place, below, mountpoint)
}

#[track_caller]
fn fails(fault: &str, kind: &str, base: &str, options: &[&str], code: i32, words: &[&str]) {
    let (_place, below, mountpoint) = places();
    let address = format!("{kind}:{}", mountpoint.join(base).display());
    let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    arguments.push(OsStr::new(&address));
    let Some(tried) = serve(&below, &mountpoint, fault, &arguments) else {
        return;
    };
    tried.fails(code, words);
    let left: Vec<_> = std::fs::read_dir(&below).expect("it is there").collect();
    assert!(left.is_empty(), "{fault} {base}: {left:?}");
}

#[test]
fn one_without_sockets_is_named_with_its_type_and_nothing_is_left() {
    let long = "s".repeat(200);
    for errno in [
        "EPERM",
        "ENOSYS",
        "EINVAL",
        "EIO",
        "EOPNOTSUPP",
        "ENXIO",
        "ENOTTY",
        "file",
    ] {
        for (kind, base, options) in [
            ("unix", "on-fuse.sock", &[][..]),
            ("dgram", "on-fuse.sock", &[]),
            ("seqpacket", "on-fuse.sock", &["--takeover"]),
            ("unix", &long, &[]),
        ] {
            let words = ["file system|fuse|cannot hold sockets"];
            fails(errno, kind, base, options, 1, &words);
        }
    }
}

#[test]
fn one_that_denies_sockets_is_named_and_not_the_mode_of_the_directory() {
    for kind in ["unix", "dgram", "seqpacket"] {
        let words = ["file system (fuse", "security module", "another directory"];
        fails("EACCES", kind, "on-fuse.sock", &[], 5, &words);
    }
}

/// vfat and shared folders show one owner for all files, and some file systems no number of links.
#[test]
fn nothing_is_left_where_our_files_are_shown_as_those_of_others() {
    for fault in ["EPERM", "file"] {
        for shown in ["st_uid=1234", "st_nlink=0", "st_nlink=2"] {
            let fault = format!("{fault} and {shown}");
            let words = ["file system|fuse|cannot hold sockets"];
            fails(&fault, "unix", "on-fuse.sock", &[], 1, &words);
        }
    }
}

#[test]
fn one_that_does_not_keep_the_mode_is_named_and_nothing_is_left() {
    for options in [&[][..], &["--mode", "0660"]] {
        fails("mode", "unix", "on-fuse.sock", options, 1, &["mode 0777"]);
    }
}

#[test]
fn an_access_list_that_stays_is_named_and_nothing_is_left() {
    for options in [&[][..], &["--mode", "0660"]] {
        fails(
            "list",
            "unix",
            "on-fuse.sock",
            options,
            5,
            &["access list", "removed"],
        );
    }
}

#[test]
fn a_file_system_of_the_kernel_takes_no_sockets() {
    for (path, kind) in [("/proc/x.sock", "(proc)"), ("/sys/x.sock", "(sysfs)")] {
        let failed = run(crate::support::sockeye().args(["serve", path]));
        failed.fails(1, &["the file system of ", kind, "cannot hold sockets"]);
    }
}

/// As in a chroot(2).
#[test]
fn a_dead_file_is_replaced_without_proc() {
    if !is_root() {
        skipped("only root can mount");
        return;
    }
    let Some(unshare) = require_peer("unshare") else {
        return;
    };
    // Its own name: no mount can be asked for there, so a namesake would be a view.
    let place = Place::new();
    let path = place.at(format!("no-proc-{}.sock", std::process::id()));
    crate::support::stale_socket(&path);
    let script = r#"
        umount -l /proc || exit 9
        "$SOCKEYE" why "$1" | grep verdict
        "$SOCKEYE" serve -q "$1" & server=$!
        until "$SOCKEYE" send "$1" hello 2>/dev/null; do kill -0 "$server" || exit 1; sleep 0.02; done
        kill "$server"; wait "$server"
        exec "$SOCKEYE" serve -q --mode 0660 "$1"
    "#;
    let mut command = Command::new(unshare);
    command
        .args(["-m", "--propagation", "private", "bash", "-c", script, "sh"])
        .arg(&path)
        .env("SOCKEYE", env!("CARGO_BIN_EXE_sockeye"));
    let ended = run(&mut command);
    ended.explains(&["/proc is not mounted", "give the group no rights"]);
    assert_eq!(ended.code, Some(5), "{ended:#?}");
    assert!(!path.exists());
}
