//! Users and groups by name and number, as the database has them.

use nix::unistd::{Gid, Group, Uid, User};
use sockeye::address::shell_quoted;

use crate::escape;

/// `root:adm`, in numbers where there are no names, `?` for an id that is not known.
pub(crate) fn owner(uid: Option<u32>, gid: Option<u32>) -> String {
    let unknown = || "?".to_owned();
    format!(
        "{}:{}",
        uid.map_or_else(unknown, user_name),
        gid.map_or_else(unknown, group_name)
    )
}

/// The name of a user, or its number.
pub(crate) fn user_name(uid: u32) -> String {
    escape::name(user_word(uid).as_bytes()).to_string()
}

/// As [`user_name`], for a command.
pub(crate) fn user_argument(uid: u32) -> String {
    shell_quoted(&user_word(uid)).to_string()
}

fn user_word(uid: u32) -> String {
    name_of(uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group, or its number.
pub(crate) fn group_name(gid: u32) -> String {
    escape::name(group_word(gid).as_bytes()).to_string()
}

/// As [`group_name`], for a command.
pub(crate) fn group_argument(gid: u32) -> String {
    shell_quoted(&group_word(gid)).to_string()
}

fn group_word(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

pub(crate) fn name_of(uid: u32) -> Option<String> {
    let entry = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    entry.map(|entry| entry.name)
}

/// The number of the user of this name.
pub(crate) fn uid(name: &str) -> Result<u32, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("there is no user {name:?}")),
        Err(error) => Err(format!("cannot look up user {name:?}: {error}")),
    }
}

/// The number of the group of this name.
pub(crate) fn gid(name: &str) -> Result<u32, String> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("there is no group {name:?}")),
        Err(error) => Err(format!("cannot look up group {name:?}: {error}")),
    }
}
