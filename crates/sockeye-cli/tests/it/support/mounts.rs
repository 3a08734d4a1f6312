//! File systems that only one thread, and the processes that it starts, can see.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::UnshareFlags;

use super::{Process, eventually, is_root, require_peer, skipped};

/// Runs `act` in a mount namespace of its own; does nothing (and says so) where we may not.
pub(crate) fn in_own_mounts(act: impl FnOnce() + Send) {
    let made = thread::scope(|scope| {
        let run = || {
            unshare()?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private)?;
            act();
            Ok::<_, Errno>(())
        };
        let ended = scope.spawn(run).join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    if let Err(errno) = made {
        skipped(&format!("no other mount namespace: {errno}"));
    }
}

#[expect(
    deprecated,
    reason = "unshare_unsafe is for CLONE_FILES, which is not asked for here"
)]
fn unshare() -> Result<(), Errno> {
    rustix::thread::unshare(UnshareFlags::NEWNS)
}

/// A directory that is shown at another path by a FUSE program.
pub(crate) struct Fuse {
    shown: std::path::PathBuf,
    _program: Process,
}

impl Fuse {
    /// `PROGRAM OPTIONS DIRECTORY SHOWN`, which stays in the foreground; `None` (and says so) where
    /// it is missing or may not mount.
    #[track_caller]
    pub(crate) fn mount(
        program: &str,
        options: &[&str],
        directory: &Path,
        shown: &Path,
    ) -> Option<Self> {
        let found = require_peer(program)?;
        if !is_root() || !Path::new("/dev/fuse").exists() {
            skipped("not root, or no FUSE");
            return None;
        }
        for path in [directory, shown] {
            fs::create_dir_all(path).expect("our own place");
        }
        let before = fs::metadata(shown).expect("just made").dev();
        let mut command = Command::new(found);
        let mut program = Process::spawn(command.args(options).arg(directory).arg(shown));
        let is_shown = eventually("the FUSE program mounts", || {
            let ended = program.ends_within(std::time::Duration::ZERO);
            let now = fs::metadata(shown).ok()?.dev();
            (ended || now != before).then_some(!ended)
        });
        if !is_shown {
            skipped("the FUSE program may not mount");
            return None;
        }
        Some(Self {
            shown: shown.to_owned(),
            _program: program,
        })
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = unmount(&self.shown, UnmountFlags::DETACH);
    }
}

/// Shows `upper` over an empty directory at `merged`; whether that is possible.
pub(crate) fn mount_overlay(place: &Path, upper: &Path, merged: &Path) -> bool {
    mount_tmpfs(place);
    let (lower, work) = (place.join("lower"), place.join("work"));
    for path in [&*lower, &*work, upper, merged] {
        fs::create_dir_all(path).expect("our own place");
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let options = CString::new(options).expect("no NUL");
    let mounted = mount("overlay", merged, "overlay", MountFlags::empty(), &*options);
    mounted
        .inspect_err(|errno| skipped(&format!("no overlay: {errno}")))
        .is_ok()
}

/// An empty file system of its own.
pub(crate) fn mount_tmpfs(directory: &Path) {
    mount("none", directory, "tmpfs", MountFlags::empty(), None).expect("we are root");
}

/// A bind mount of a single file.
pub(crate) fn bind_file(file: &Path, shown: &Path) {
    fs::write(shown, "").expect("our own place");
    rustix::mount::mount_bind(file, shown).expect("we are root");
}
