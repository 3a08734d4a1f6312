//! [`UserNames`]: names of users, each looked up once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use nix::unistd::{Uid, User};

use crate::escape;

/// A look-up may ask a server on the network.
#[derive(Default)]
pub(crate) struct UserNames(RefCell<HashMap<u32, String>>);

impl UserNames {
    /// The name of a user, the number if there is no name, `?` if the uid is not known.
    pub(crate) fn write(&self, out: &mut impl fmt::Write, uid: Option<u32>) -> fmt::Result {
        let Some(uid) = uid else {
            return out.write_char('?');
        };
        let mut known = self.0.borrow_mut();
        let name = known.entry(uid).or_insert_with(|| {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(
                || uid.to_string(),
                |user| escape::name(user.name.as_bytes()).to_string(),
            )
        });
        out.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_the_unknown() {
        let users = UserNames::default();
        let shown = |uid| {
            let mut text = String::new();
            users.write(&mut text, uid).unwrap();
            text
        };
        assert_eq!(shown(Some(0)), "root");
        assert_eq!(shown(Some(4_000_000_001)), "4000000001");
        assert_eq!(shown(None), "?");
    }
}
