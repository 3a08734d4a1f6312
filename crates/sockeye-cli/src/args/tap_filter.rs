//! [`TapFilter`]: which clients a tap shows and records.

use super::id::{TypedId, user};
use super::values::pid;

/// The kernel keeps 15 bytes of a command name (`TASK_COMM_LEN`).
const COMMAND_LENGTH: usize = 15;

/// A client matches if for each key that is given one of its values is the client's. What is unknown
/// of a client matches no value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TapFilter {
    pids: Vec<i32>,
    users: Vec<TypedId>,
    commands: Vec<String>,
}

impl TapFilter {
    /// `pid=4242,uid=user,comm=curl`
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(term).collect()
    }

    /// The users, to be looked up.
    pub(super) fn users(&mut self) -> impl Iterator<Item = &mut TypedId> {
        self.users.iter_mut()
    }

    /// With nothing given every client matches.
    pub(crate) fn matches(
        &self,
        pid: Option<i32>,
        uid: Option<u32>,
        command: Option<&[u8]>,
    ) -> bool {
        let is_pid = |wanted: &i32| Some(*wanted) == pid;
        let is_user = |wanted: &TypedId| uid.is_some() && wanted.number() == uid;
        let is_command = |wanted: &String| Some(kept(wanted)) == command;
        (self.pids.is_empty() || self.pids.iter().any(is_pid))
            && (self.users.is_empty() || self.users.iter().any(is_user))
            && (self.commands.is_empty() || self.commands.iter().any(is_command))
    }
}

impl FromIterator<Self> for TapFilter {
    fn from_iter<T: IntoIterator<Item = Self>>(filters: T) -> Self {
        let mut all = Self::default();
        for filter in filters {
            all.pids.extend(filter.pids);
            all.users.extend(filter.users);
            all.commands.extend(filter.commands);
        }
        all
    }
}

/// What the kernel keeps of a command name.
fn kept(command: &str) -> &[u8] {
    &command.as_bytes()[..command.len().min(COMMAND_LENGTH)]
}

fn term(text: &str) -> Result<TapFilter, String> {
    const FORM: &str = "write pid=N, uid=USER or comm=NAME, separated by commas";
    let Some((key, value)) = text.split_once('=') else {
        return Err(format!("{text:?} has no value; {FORM}"));
    };
    let of_key = |error| format!("{key}={value}: {error}");
    let mut filter = TapFilter::default();
    match key {
        "pid" => filter.pids.push(pid(value).map_err(of_key)?),
        "uid" | "comm" if value.is_empty() => {
            return Err(format!("{key} has no value; {FORM}"));
        }
        "uid" => filter.users.push(user(value).map_err(of_key)?),
        "comm" => filter.commands.push(value.to_owned()),
        _ => return Err(format!("there is no key {key:?}; {FORM}")),
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(texts: &[&str]) -> TapFilter {
        let parsed = texts.iter().map(|text| TapFilter::parse(text).unwrap());
        parsed.collect()
    }

    #[test]
    fn a_key_matches_any_of_its_values_and_all_keys_must_match() {
        let curl = |filter: &TapFilter| filter.matches(Some(7), Some(1000), Some(b"curl"));
        assert!(curl(&filter(&[])));
        assert!(curl(&filter(&["pid=7"])));
        assert!(curl(&filter(&["pid=8,pid=7,uid=1000"])));
        assert!(curl(&filter(&["comm=nc", "comm=curl"])));
        assert!(!curl(&filter(&["pid=7,uid=0"])));
        assert!(!curl(&filter(&["pid=7", "comm=nc"])));
        assert!(!filter(&["pid=7"]).matches(None, Some(7), None));
        assert!(!filter(&["uid=4294967294"]).matches(None, None, None));
    }

    #[test]
    fn a_name_of_a_user_matches_once_it_is_looked_up() {
        let mut filter = filter(&["uid=user,uid=0"]);
        assert!(!filter.matches(None, Some(1000), None) && !filter.matches(None, None, None));
        for user in filter.users() {
            user.look_up(|_| Ok(1000)).unwrap();
        }
        assert!(filter.matches(None, Some(1000), None) && filter.matches(None, Some(0), None));
    }

    #[test]
    fn a_long_command_name_matches_by_what_the_kernel_keeps() {
        let filter = filter(&["comm=systemd-journald"]);
        assert!(filter.matches(None, None, Some(b"systemd-journal")));
        assert!(!filter.matches(None, None, Some(b"systemd")));
    }

    #[test]
    fn an_error_names_the_key_what_was_found_and_what_is_possible() {
        for (wrong, error) in [
            ("port=80", "there is no key \"port\"; write pid=N"),
            ("curl", "\"curl\" has no value; write pid=N"),
            ("pid=7,", "\"\" has no value; write pid=N"),
            ("pid=self", "pid=self: write a whole number"),
            ("pid=0", "pid=0: write a whole number of at least 1"),
            ("uid=", "uid has no value; write pid=N"),
            (
                "uid=4294967295",
                "uid=4294967295: 4294967295 is not a user id",
            ),
        ] {
            let found = TapFilter::parse(wrong).unwrap_err();
            assert!(found.starts_with(error), "{wrong}: {found}");
        }
    }
}
