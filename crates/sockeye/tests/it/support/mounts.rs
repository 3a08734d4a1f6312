//! File systems that only one thread sees.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use super::skipped;
use super::threads::{in_thread, unshare};

/// Runs `act` in a mount namespace of its own, in which nothing is mounted any more once it has
/// ended; `None` (and says so) where we may not.
pub(crate) fn in_own_mounts<T: Send>(act: impl FnOnce() -> T + Send) -> Option<T> {
    let made = in_thread(|| {
        unshare(UnshareFlags::NEWNS)?;
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        Ok::<_, Errno>(act())
    });
    match made {
        Ok(value) => Some(value),
        Err(errno) => {
            skipped(&format!("no other mount namespace: {errno}"));
            None
        }
    }
}

/// An empty file system of its own.
pub(crate) fn mount_tmpfs(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    mount("none", directory, "tmpfs", MountFlags::empty(), None).unwrap();
}

/// A file system that shows two directories as one.
pub(crate) struct Overlay {
    pub(crate) lower: PathBuf,
    pub(crate) upper: PathBuf,
    pub(crate) merged: PathBuf,
}

impl Overlay {
    /// With its layers in `directory`; `None` (and says so) where the kernel has none.
    pub(crate) fn mount(directory: &Path) -> Option<Self> {
        let new = Self {
            lower: directory.join("lower"),
            upper: directory.join("upper"),
            merged: directory.join("merged"),
        };
        let work = directory.join("work");
        for directory in [&new.lower, &new.upper, &new.merged, &work] {
            fs::create_dir_all(directory).unwrap();
        }
        new.show(&work).then_some(new)
    }

    fn show(&self, work: &Path) -> bool {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.lower.display(),
            self.upper.display(),
            work.display()
        );
        let options = CString::new(options).unwrap();
        let flags = MountFlags::empty();
        match mount("overlay", &self.merged, "overlay", flags, &*options) {
            Ok(()) => true,
            Err(errno) => {
                skipped(&format!("no overlay: {errno}"));
                false
            }
        }
    }
}
