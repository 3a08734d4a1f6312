//! [`User`]: the user or process whose permissions are judged.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use nix::unistd::{self, Gid, Uid};

use sockeye::ids;

use super::attributes::FileAttributes;
use super::process::JudgedProcess;
use crate::cmd::visibility::{
    CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, has_capability,
};
use crate::escape;
use crate::lookup::ids::group_argument;
use crate::lookup::ids::group_name;
use crate::lookup::ids::name_of;
use crate::lookup::ids::user_argument;

/// A user with its groups.
#[derive(Debug, Clone, Default)]
pub(super) struct User {
    /// `None` where the caller's own has no mapping in this user namespace.
    pub(super) uid: Option<u32>,
    /// Including the primary one.
    pub(super) groups: Vec<u32>,
    pub(super) name: Option<String>,
    /// CAP_DAC_OVERRIDE: may write every file.
    pub(super) overrides: bool,
    /// May search every directory.
    pub(super) searches: bool,
    /// CAP_SYS_PTRACE: may look into every process.
    pub(super) traces: bool,
    /// Whether it is the caller, so that access(2) can answer.
    pub(super) is_caller: bool,
    /// Its root directory: `/`, or `/proc/PID/root` if a process has another one.
    pub(super) root: PathBuf,
    /// The process of `--pid`.
    pub(super) process: Option<JudgedProcess>,
}

impl User {
    /// The caller.
    pub(super) fn caller() -> Self {
        let uid = ids::own_uid();
        let more = rustix::process::getgroups().unwrap_or_default();
        let groups = [rustix::process::getegid()].into_iter().chain(more);
        Self {
            uid,
            groups: groups.filter_map(|gid| ids::gid(gid.as_raw())).collect(),
            name: uid.and_then(name_of),
            overrides: has_capability(CAP_DAC_OVERRIDE),
            searches: has_capability(CAP_DAC_OVERRIDE) || has_capability(CAP_DAC_READ_SEARCH),
            traces: has_capability(CAP_SYS_PTRACE),
            is_caller: true,
            root: "/".into(),
            process: None,
        }
    }

    /// Another user, with the groups that a login gives.
    pub(super) fn other(uid: u32) -> Self {
        let entry = unistd::User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let mut groups = Vec::new();
        if let Some(entry) = &entry {
            groups.push(entry.gid.as_raw());
            if let Ok(name) = CString::new(entry.name.as_str()) {
                let more = unistd::getgrouplist(&name, entry.gid).unwrap_or_default();
                groups.extend(more.into_iter().map(Gid::as_raw));
            }
        }
        Self {
            uid: Some(uid),
            groups,
            name: entry.map(|entry| entry.name),
            overrides: uid == 0,
            searches: uid == 0,
            traces: uid == 0,
            is_caller: false,
            root: "/".into(),
            process: None,
        }
    }
}

impl User {
    /// Whether its capabilities hold for such a file: in a user namespace only if the owner is mapped.
    pub(super) fn rules_over(&self, attributes: FileAttributes) -> bool {
        self.process
            .as_ref()
            .is_none_or(|process| process.maps(attributes.uid, attributes.gid))
    }

    /// A group that the user database has, the process lacks, and with which `is_let_in` holds: a process
    /// keeps the groups that it was started with.
    pub(super) fn late_group(&self, is_let_in: impl Fn(&Self) -> bool) -> Option<u32> {
        let runs = self.is_caller || self.process.is_some();
        let listed = Self::other(self.uid.filter(|_| runs)?).groups;
        let mut missing = listed.into_iter().filter(|gid| !self.groups.contains(gid));
        missing.find(|&gid| {
            let mut with_it = self.clone();
            with_it.groups.push(gid);
            is_let_in(&with_it)
        })
    }

    /// What to do about [`Self::late_group`].
    pub(super) fn is_late_for(&self, gid: u32) -> String {
        let who = self.name.as_deref().map_or_else(
            || "this user".to_owned(),
            |name| format!("user {}", escape::name(name.as_bytes())),
        );
        let (process, remedy) = match &self.process {
            Some(process) => (process.to_string(), "restart it"),
            None => ("this process".to_owned(), "log in again, or restart it"),
        };
        format!(
            "{who} is in group {}, but {process} started before that, or has left it: {remedy}",
            group_name(gid)
        )
    }

    /// The command that adds it to a group.
    pub(super) fn joins(&self, gid: u32) -> String {
        let group = group_argument(gid);
        if let (None, Some(uid)) = (&self.name, self.uid) {
            return format!(
                "uid {uid} has no account that could be added to a group: start its processes in group {group} (setpriv --groups, SupplementaryGroups= of systemd, --group-add of a container)"
            );
        }
        let user = self.uid.map_or_else(|| "USER".to_owned(), user_argument);
        let then = if self.is_caller {
            "then log in again"
        } else {
            "then restart its processes"
        };
        format!("usermod -aG {group} {user}, {then}")
    }

    /// Its primary group, unless that is root's.
    pub(super) fn own_group(&self) -> String {
        let own = self.groups.first().filter(|&&gid| gid != 0);
        own.map_or_else(|| "GROUP".to_owned(), |&gid| group_argument(gid))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = &self.process {
            write!(f, "{process} of ")?;
        }
        match (&self.name, self.uid) {
            (Some(name), _) => write!(f, "user {}", escape::name(name.as_bytes())),
            (None, Some(uid)) => write!(f, "uid {uid}"),
            (None, None) => f.write_str("uid ?"),
        }
    }
}

/// Why a process is not visible, as the end of "a process that".
pub(super) fn hidden() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "cannot be seen from here"
    } else {
        "you may not see (root may)"
    }
}

/// Who can see what is hidden from the caller. That may be root in a container, or without
/// capabilities.
pub(super) fn seer() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "outside of any container, with all of root's capabilities"
    } else {
        "as root"
    }
}
