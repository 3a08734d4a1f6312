//! Processes that were started before their user was added to a group.

use std::fs;

use super::user::User;

/// At most so many are named.
const NAMED: usize = 3;

/// Where a user has the permission thanks to a group: the user's processes that lack the group. Each
/// process keeps the groups that it was started with.
pub(super) fn of(user: &User, is_let_in: impl Fn(&User) -> bool) -> Option<String> {
    let mut without_groups = user.clone();
    without_groups.groups.clear();
    let uid = user.uid?;
    if user.is_caller || user.process.is_some() || is_let_in(&without_groups) {
        return None;
    }
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let processes = pids.into_iter().filter_map(User::of_process);
    let refused: Vec<String> = processes
        .filter(|running| running.uid == Some(uid) && !is_let_in(running))
        .filter_map(|running| Some(running.process?.to_string()))
        .collect();
    let mut names: Vec<String> = refused.iter().take(NAMED).cloned().collect();
    if refused.len() > NAMED {
        names.push(format!("{} more", refused.len() - NAMED));
    }
    let last = names.pop()?;
    let names = if names.is_empty() {
        format!("{last} lacks")
    } else {
        format!("{} and {last} lack", names.join(", "))
    };
    Some(format!(
        "{names} the group: started before {user} was added to it, or without it; restart what \
         should connect"
    ))
}
