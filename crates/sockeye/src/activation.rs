//! Socket activation: sockets that a service manager has opened (`LISTEN_FDS`, sd_listen_fds(3)). The
//! only module that reads the environment.
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use sockeye::{Listener, activation};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // First of all in main, before anything is opened.
//! for passed in activation::passed()? {
//!     let listener = Listener::adopt(passed.fd)?;
//!     println!("{} is {listener:?}", passed.name);
//! }
//! # Ok(())
//! # }
//! ```

use std::env;
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::{fstat, fstatfs};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::adopt::{self, AdoptError};

/// The variables that a service manager sets for this process alone. Remove them for programs that it
/// starts: these would take our sockets for theirs, or notify the manager in our name.
///
/// A successor that replaces this process still needs `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
pub const VARIABLES: [&str; 7] = [
    LISTEN_PID,
    LISTEN_PIDFDID,
    LISTEN_FDS,
    LISTEN_FDNAMES,
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

const LISTEN_PID: &str = "LISTEN_PID";
const LISTEN_PIDFDID: &str = "LISTEN_PIDFDID";
const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
/// What sd_listen_fds_with_names(3) calls a socket where no names are passed.
const NO_NAME: &str = "unknown";
/// `PID_FS_MAGIC`, Linux 6.9: from there on the inode number of a pidfd is that of the process.
const PIDFS: u64 = 0x5049_4446;

/// A file descriptor (fd) that was passed on. Check what it is, as `adopt` does.
#[derive(Debug)]
pub struct Passed {
    /// `FileDescriptorName=` of its unit; `unknown` where no names were passed.
    pub name: String,
    /// The fd as it was passed. It is close-on-exec now but stays open: only the program can know
    /// that nothing else in it uses this fd.
    pub number: RawFd,
    /// A close-on-exec duplicate.
    pub fd: OwnedFd,
}

/// Why the passed sockets could not be taken.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// A variable is not what sd_listen_fds(3) says.
    #[error("{variable} is {value:?}, which is not {wanted}; leave it to the service manager")]
    Malformed {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: OsString,
        /// What it should be.
        wanted: &'static str,
    },
    /// There are more or fewer names than sockets.
    #[error(
        "LISTEN_FDNAMES has {names} names, but LISTEN_FDS is {sockets}; leave them to the service manager"
    )]
    Names {
        /// How many names there are.
        names: usize,
        /// How many sockets are announced.
        sockets: usize,
    },
    /// No socket was passed to this process.
    #[error(
        "no socket was passed to this process; start it by a .socket unit, or by systemd-socket-activate"
    )]
    NonePassed,
    /// None of the sockets has the name that was asked for.
    #[error("no socket of this name was passed; there is {}", .names.join(", "))]
    NoSuchName {
        /// The names that there are.
        names: Vec<String>,
    },
    /// No name was asked for, and there is more than one socket.
    #[error("several sockets were passed; add the name of one: {}", .names.join(", "))]
    SeveralPassed {
        /// Their names.
        names: Vec<String>,
    },
    /// More than one socket has the name that was asked for.
    #[error(
        "several sockets of this name were passed; put each into a .socket unit of its own, with its FileDescriptorName="
    )]
    SameName,
    /// An fd could not be taken.
    #[error("LISTEN_FDS is {sockets}, but {source}")]
    Descriptor {
        /// How many sockets are announced.
        sockets: usize,
        /// What is wrong with one of them.
        source: AdoptError,
    },
}

crate::error_debug::debug_as_display!(ActivationError);

/// The sockets that were passed to this process; none where they were meant for another one
/// (`LISTEN_PID`, `LISTEN_PIDFDID`).
///
/// Call it before anything is opened: an fd that was announced but not passed could be a file of ours
/// by then.
///
/// # Errors
/// [`ActivationError`] names the malformed variable.
#[doc(alias = "sd_listen_fds")]
#[doc(alias = "LISTEN_FDS")]
#[doc(alias = "socket activation")]
pub fn passed() -> Result<Vec<Passed>, ActivationError> {
    let pid = getpid().as_raw_pid().unsigned_abs();
    let Some(announced) = announced(env::var_os, pid, own_pidfd_id)? else {
        return Ok(Vec::new());
    };
    let sockets = announced.count;
    let failed = |source| ActivationError::Descriptor { sockets, source };
    let numbers = || (FIRST..).take(sockets);
    // Before the first duplicate, which would get the number of one that is missing.
    for number in numbers() {
        adopt::keep_from_children(number).map_err(failed)?;
    }
    let mut names = announced.names.into_iter();
    numbers()
        .map(|number| {
            Ok(Passed {
                name: names.next().unwrap_or_else(|| NO_NAME.to_owned()),
                number,
                fd: adopt::inherited(number).map_err(failed)?,
            })
        })
        .collect()
}

/// The one of these sockets that has the name, or the only one if the name is empty.
///
/// # Errors
/// [`ActivationError`], where none has it, or several do.
pub fn select(passed: Vec<Passed>, name: &str) -> Result<Passed, ActivationError> {
    if passed.is_empty() {
        return Err(ActivationError::NonePassed);
    }
    let names = passed.iter().map(|socket| socket.name.clone()).collect();
    let is_meant = |socket: &Passed| name.is_empty() || socket.name == name;
    let mut meant = passed.into_iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(socket), None) => Ok(socket),
        (None, _) => Err(ActivationError::NoSuchName { names }),
        (Some(_), Some(_)) if name.is_empty() => Err(ActivationError::SeveralPassed { names }),
        (Some(_), Some(_)) => Err(ActivationError::SameName),
    }
}

/// What the variables say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    count: usize,
    /// As many, or none.
    names: Vec<String>,
}

pub(crate) fn announced(
    variable: impl Fn(&'static str) -> Option<OsString>,
    pid: u32,
    pidfd_id: impl Fn() -> Option<u64>,
) -> Result<Option<Announced>, ActivationError> {
    let number = |name, wanted| {
        variable(name)
            .map(|value| match value.to_str().map(str::parse::<u64>) {
                Some(Ok(number)) => Ok(number),
                _ => Err(malformed(name, value, wanted)),
            })
            .transpose()
    };
    if number(LISTEN_PID, "a process id")? != Some(pid.into()) {
        return Ok(None);
    }
    // An earlier process may have had the same pid.
    if let Some(meant) = number(LISTEN_PIDFDID, "the id of a pidfd")?
        && pidfd_id().is_some_and(|ours| ours != meant)
    {
        return Ok(None);
    }
    let Some(count) = number(LISTEN_FDS, "a number of sockets")? else {
        return Ok(None);
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let names: Vec<String> = match variable(LISTEN_FDNAMES) {
        None => Vec::new(),
        Some(value) if value.is_empty() => Vec::new(),
        Some(value) => match value.to_str() {
            Some(names) => names.split(':').map(str::to_owned).collect(),
            None => return Err(malformed(LISTEN_FDNAMES, value, "a list of names")),
        },
    };
    if !names.is_empty() && names.len() != count {
        return Err(ActivationError::Names {
            names: names.len(),
            sockets: count,
        });
    }
    Ok(Some(Announced { count, names }))
}

#[cfg(fuzzing)]
impl Announced {
    pub(crate) fn into_parts(self) -> (usize, Vec<String>) {
        (self.count, self.names)
    }
}

fn malformed(variable: &'static str, value: OsString, wanted: &'static str) -> ActivationError {
    ActivationError::Malformed {
        variable,
        value,
        wanted,
    }
}

/// What `LISTEN_PIDFDID` is for us; `None` where the kernel does not tell.
fn own_pidfd_id() -> Option<u64> {
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    if u64::try_from(fstatfs(&pidfd).ok()?.f_type) != Ok(PIDFS) {
        return None;
    }
    Some(fstat(&pidfd).ok()?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    const PID: &str = "77";
    const PIDFD_ID: u64 = 1234;

    fn look(variables: &[(&str, &str)]) -> Result<Option<Announced>, ActivationError> {
        let find = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        announced(find, 77, || Some(PIDFD_ID))
    }

    fn some(count: usize, names: &[&str]) -> Option<Announced> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Some(Announced { count, names })
    }

    #[test]
    fn what_is_announced() {
        let pid = (LISTEN_PID, PID);
        let two = (LISTEN_FDS, "2");
        let names = (LISTEN_FDNAMES, "web:admin");
        for (variables, expected) in [
            (&[pid, two][..], some(2, &[])),
            (&[pid, two, names], some(2, &["web", "admin"])),
            (&[pid, two, (LISTEN_FDNAMES, "web:")], some(2, &["web", ""])),
            (&[pid, two, (LISTEN_FDNAMES, "")], some(2, &[])),
            (&[pid, two, (LISTEN_PIDFDID, "1234")], some(2, &[])),
            (&[pid, two, (LISTEN_PIDFDID, "1235")], None),
            (&[(LISTEN_PID, "78"), two], None),
            (&[two, names], None),
            (&[pid], None),
            (&[], None),
        ] {
            assert_eq!(look(variables).unwrap(), expected, "{variables:?}");
        }
    }

    #[test]
    fn on_an_older_kernel_the_pid_decides() {
        let find = |name: &str| match name {
            LISTEN_PID => Some(PID.into()),
            LISTEN_PIDFDID => Some("1".into()),
            LISTEN_FDS => Some("1".into()),
            _ => None,
        };
        assert_eq!(announced(find, 77, || None).unwrap(), some(1, &[]));
    }

    #[test]
    fn what_is_malformed_is_named() {
        let pid = (LISTEN_PID, PID);
        for (variables, named) in [
            (&[(LISTEN_PID, "me")][..], "LISTEN_PID is \"me\""),
            (&[(LISTEN_PID, "")], "LISTEN_PID is \"\""),
            (&[pid, (LISTEN_FDS, "-1")], "LISTEN_FDS is \"-1\""),
            (&[pid, (LISTEN_FDS, "1 ")], "LISTEN_FDS is \"1 \""),
            (
                &[pid, (LISTEN_FDS, "1"), (LISTEN_PIDFDID, "x")],
                "LISTEN_PIDFDID is \"x\"",
            ),
            (
                &[pid, (LISTEN_FDS, "1"), (LISTEN_FDNAMES, "a:b")],
                "LISTEN_FDNAMES has 2 names, but LISTEN_FDS is 1",
            ),
        ] {
            let error = look(variables).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let find = |name: &str| match name {
            LISTEN_PID => Some(PID.into()),
            LISTEN_FDS => Some("1".into()),
            LISTEN_FDNAMES => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        };
        let error = announced(find, 77, || None).unwrap_err().to_string();
        assert!(error.contains("LISTEN_FDNAMES is \"\\xFF\""), "{error}");
    }

    #[test]
    fn a_passed_socket_is_selected_by_its_name() {
        let passed = |names: &[&str]| -> Vec<Passed> {
            let socket = |name: &&str| Passed {
                name: (*name).to_owned(),
                number: 3,
                fd: std::io::pipe().unwrap().0.into(),
            };
            names.iter().map(socket).collect()
        };
        let found = |names: &[&str], name| select(passed(names), name).map(|found| found.name);
        assert_eq!(found(&["web"], "").unwrap(), "web");
        assert_eq!(found(&["web", "admin"], "admin").unwrap(), "admin");
        for (names, name, said) in [
            (&[][..], "web", "no socket was passed"),
            (&["web", "x"], "admin", "there is web, x"),
            (&["web", "admin"], "", "the name of one: web, admin"),
            (&["web", "web"], "web", "several sockets of this name"),
        ] {
            let error = found(names, name).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
