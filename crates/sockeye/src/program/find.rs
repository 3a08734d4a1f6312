//! Finds a program in `PATH`, and checks whether it can be started.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::address::{quoted, shell_quoted};

/// Why a program cannot be started.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// There is no such file, or none in the directories that were searched.
    #[error("there is no program {}; give the path of one, or look at PATH", quoted(.0))]
    NotFound(OsString),
    /// Not a regular file.
    #[error("{} is not a regular file; give the path of a program", quoted(.0))]
    NotAFile(PathBuf),
    /// No execute permission (x) for us, or the file system is mounted `noexec`.
    #[error("{} may not be executed; chmod +x it, or look at the mount options (noexec)", quoted(.0))]
    NotExecutable(PathBuf),
    /// Neither a binary nor a script with an interpreter.
    #[error("{} is a text without an interpreter; let its first line be #!/bin/sh, or give sh {}", quoted(.0), shell_quoted(.0))]
    NoInterpreter(PathBuf),
    /// A script whose first line names a program that cannot be started.
    #[error("{} wants the interpreter {}, which is not there or may not be executed; correct its first line", quoted(.script), quoted(.interpreter))]
    InterpreterMissing {
        /// The program.
        script: PathBuf,
        /// What its first line names.
        interpreter: PathBuf,
    },
    /// Something else.
    #[error("{} cannot be looked at: {source}; look at its directory", quoted(.path))]
    Io {
        /// The program.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

crate::error_debug::debug_as_display!(ProgramError);

/// The default of execvp(3) without `PATH`.
const DEFAULT_SEARCH: &str = "/bin:/usr/bin";
/// As much as the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;

pub(super) fn find(name: &OsStr, search: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    if name.as_bytes().contains(&b'/') {
        check(Path::new(name))?;
        return Ok(name.into());
    }
    let search = search.unwrap_or(OsStr::new(DEFAULT_SEARCH));
    // As execvp(3): one that may not be executed counts only if no other is found.
    let mut refused = None;
    for directory in search.as_bytes().split(|byte| *byte == b':') {
        // An empty one is the working directory.
        let path = Path::new(OsStr::from_bytes(directory)).join(name);
        match check(&path) {
            Ok(()) if directory.is_empty() => return Ok(Path::new(".").join(name)),
            Ok(()) => return Ok(path),
            Err(ProgramError::NotFound(_) | ProgramError::Io { .. }) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| ProgramError::NotFound(name.into())))
}

fn check(path: &Path) -> Result<(), ProgramError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
            ProgramError::NotFound(path.into())
        }
        _ => ProgramError::Io {
            path: path.into(),
            source,
        },
    };
    if !path.metadata().map_err(io)?.is_file() {
        return Err(ProgramError::NotAFile(path.into()));
    }
    if !may_execute(path) {
        return Err(ProgramError::NotExecutable(path.into()));
    }
    // A program that may be executed but not read is left to the kernel.
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head));
    if read.is_err() {
        return Ok(());
    }
    match interpreter(&head) {
        Some(interpreter) if may_execute(&interpreter) => Ok(()),
        Some(interpreter) => Err(ProgramError::InterpreterMissing {
            script: path.into(),
            interpreter,
        }),
        // Other formats have a NUL byte near their beginning, and may be known to binfmt_misc.
        None if head.contains(&0) => Ok(()),
        None => Err(ProgramError::NoInterpreter(path.into())),
    }
}

fn may_execute(path: &Path) -> bool {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

/// What the first line of a script names (execve(2)).
pub(crate) fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let name = line.split(|byte| matches!(byte, b' ' | b'\t' | 0)).next()?;
    Some(OsStr::from_bytes(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let of = |head: &[u8]| interpreter(head);
        assert_eq!(of(b"#!/bin/sh\nx"), Some("/bin/sh".into()));
        assert_eq!(of(b"#! /usr/bin/env -S x\n"), Some("/usr/bin/env".into()));
        assert_eq!(of(b"#!/bin/sh"), Some("/bin/sh".into()));
        assert_eq!(of(b"#!\n"), Some("".into()));
        assert_eq!(of(b"echo\n"), None);
    }
}
