//! The credentials of a running process.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::stat;
use sockeye::{Address, Name, ids};

use super::process::JudgedProcess;
use super::user::User;
use crate::cmd::visibility::{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE};
use crate::exit::{Exit, failure};
use crate::lookup::ids::name_of;

impl User {
    /// A running process, with the credentials that it has, whatever the user database says.
    ///
    /// # Errors
    /// If there is no such process, or its namespaces may not be read.
    pub(super) fn running(pid: i32) -> anyhow::Result<Self> {
        let mut user = Self::of_process(pid).ok_or_else(|| {
            let text = format!("cannot judge process {pid}: there is none; give one that runs");
            failure(Exit::NothingThere, text)
        })?;
        let closed = |_| {
            let advice = if rustix::process::geteuid().is_root() {
                "root takes CAP_SYS_PTRACE for that, which is missing here, or a security module denies it"
            } else {
                "ask as root, or as its user"
            };
            let text = format!(
                "cannot judge process {pid}: its root directory and namespaces may not be looked \
                 into; {advice}"
            );
            failure(Exit::NotPermitted, text)
        };
        let at = |link: &str| PathBuf::from(format!("/proc/{pid}/{link}"));
        let id = |path: &Path| stat(path).map(|found| (found.st_dev, found.st_ino));
        let shares_mounts = id(&at("ns/mnt")).map_err(closed)?
            == id(Path::new("/proc/self/ns/mnt")).map_err(closed)?;
        let shares_root =
            shares_mounts && fs::read_link(at("root")).is_ok_and(|root| root == Path::new("/"));
        if !shares_root {
            user.root = at("root");
        }
        if let Some(process) = &mut user.process {
            process.network = stat(at("ns/net")).ok().map(|found| found.st_ino);
            let name = fs::read_link(at("cwd")).unwrap_or_default();
            // proc_pid_cwd(5); the suffix alone may be part of a name.
            process.directory_is_removed = name.as_os_str().as_bytes().ends_with(b" (deleted)")
                && stat(at("cwd")).is_ok_and(|found| found.st_nlink == 0);
            let is_name =
                shares_root && !name.as_os_str().is_empty() && !process.directory_is_removed;
            let directory = is_name.then_some(name);
            process.directory = directory.unwrap_or_else(|| at("cwd"));
        }
        Ok(user)
    }

    /// Whether it is this process, which always has ptrace access to itself.
    pub(super) fn is_process(&self, pid: i32) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.pid == pid)
    }

    /// Whether its capabilities hold for that process: those of a child user namespace do not in ours.
    pub(super) fn may_rule(&self, pid: i32) -> bool {
        let is_inside = |process: &JudgedProcess| process.mapped.is_some();
        !(self.process.as_ref().is_some_and(is_inside) && mapped(pid).is_none())
    }

    /// The address as seen from this process: the other one may have another root directory.
    ///
    /// # Errors
    /// If the address would be too long.
    pub(super) fn seen(&self, address: &Address) -> anyhow::Result<Address> {
        let (Some(path), Some(process)) = (address.path(), &self.process) else {
            return Ok(address.clone());
        };
        let path = match path.strip_prefix("/") {
            Ok(below) => self.root.join(below),
            Err(_) => process.directory.join(path),
        };
        let name = Name::Path(path.into_os_string().into());
        Ok(Address::new(address.kind(), &name)?)
    }

    /// The credentials of a process (proc_pid_status(5)); `None` if it is gone.
    pub(super) fn of_process(pid: i32) -> Option<Self> {
        let status = fs::read(format!("/proc/{pid}/status")).ok()?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name))
        };
        // The last one is the file system id.
        let last = |ids: &str| ids.split_whitespace().nth(3)?.parse::<u32>().ok();
        let uid = ids::uid(last(field("Uid:")?)?);
        let more = field("Groups:").unwrap_or_default().split_whitespace();
        let more = more.filter_map(|gid| gid.parse().ok());
        let groups = last(field("Gid:")?).into_iter().chain(more);
        let capabilities =
            field("CapEff:").and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        let has = |number: u32| capabilities.is_some_and(|bits| bits >> number & 1 == 1);
        Some(Self {
            uid,
            groups: groups.filter_map(ids::gid).collect(),
            name: uid.and_then(name_of),
            overrides: has(CAP_DAC_OVERRIDE),
            searches: has(CAP_DAC_OVERRIDE) || has(CAP_DAC_READ_SEARCH),
            traces: has(CAP_SYS_PTRACE),
            is_caller: false,
            root: "/".into(),
            process: Some(JudgedProcess {
                pid,
                name: fs::read(format!("/proc/{pid}/comm"))
                    .ok()
                    .map(|name| name.strip_suffix(b"\n").unwrap_or(&name).to_vec()),
                directory: "/".into(),
                directory_is_removed: false,
                network: None,
                mapped: mapped(pid),
            }),
        })
    }
}

/// The ids that the user namespace of a process maps, unless it is ours.
fn mapped(pid: i32) -> Option<[Vec<(u64, u64)>; 2]> {
    let theirs = stat(format!("/proc/{pid}/ns/user")).ok()?;
    let ours = stat("/proc/self/ns/user").ok()?;
    let is_ours = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino);
    let read =
        |map: &str| ranges(&fs::read_to_string(format!("/proc/{pid}/{map}")).unwrap_or_default());
    (!is_ours).then(|| [read("uid_map"), read("gid_map")])
}

/// user_namespaces(7): each line has the first id inside, the first one outside, and how many.
fn ranges(map: &str) -> Vec<(u64, u64)> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().skip(1).map(str::parse::<u64>);
        let (first, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((first, first.checked_add(count)?))
    };
    map.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_end_where_a_user_namespace_does() {
        assert_eq!(
            ranges("0 1000 1\n1 100000 65536\n"),
            [(1000, 1001), (100_000, 165_536)]
        );
        let map = ranges("0 1000 1\n");
        let process = |mapped| JudgedProcess {
            pid: 1,
            name: None,
            directory: "/".into(),
            directory_is_removed: false,
            network: None,
            mapped,
        };
        let inside = process(Some([map.clone(), map]));
        assert!(inside.maps(Some(1000), Some(1000)));
        assert!(!inside.maps(Some(0), Some(1000)));
        assert!(!inside.maps(Some(1000), Some(0)));
        assert!(!inside.maps(None, Some(1000)));
        assert!(process(None).maps(Some(0), None));
    }

    #[test]
    fn this_process_has_the_credentials_of_its_caller() {
        let pid = rustix::process::getpid().as_raw_pid();
        let (running, caller) = (User::running(pid).unwrap(), User::caller());
        assert_eq!(
            (running.uid, running.overrides),
            (caller.uid, caller.overrides)
        );
        assert_eq!(running.root, Path::new("/"));
        let mut groups = [running.groups, caller.groups];
        for groups in &mut groups {
            groups.sort_unstable();
            groups.dedup();
        }
        assert_eq!(groups[0], groups[1]);
    }
}
