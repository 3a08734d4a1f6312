//! [`TypedId`]: a user or a group as typed, by name or number.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypedId {
    Number(u32),
    /// Until [`TypedId::look_up`].
    Name(String),
}

impl TypedId {
    /// Its number; `None` for a name that has not been looked up.
    pub(crate) fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }

    /// Replaces a name by the number that `find` has for it.
    pub(crate) fn look_up(
        &mut self,
        find: impl FnOnce(&str) -> Result<u32, String>,
    ) -> Result<(), String> {
        if let Self::Name(name) = self {
            *self = Self::Number(find(name)?);
        }
        Ok(())
    }
}

pub(crate) fn user(text: &str) -> Result<TypedId, String> {
    parse(text).ok_or_else(|| format!("{text} is not a user id"))
}

pub(crate) fn group(text: &str) -> Result<TypedId, String> {
    parse(text).ok_or_else(|| format!("{text} is not a group id"))
}

/// `None` for the number that stands for no id, as in chown(2).
fn parse(text: &str) -> Option<TypedId> {
    match text.parse() {
        Ok(u32::MAX) => None,
        Ok(number) => Some(TypedId::Number(number)),
        Err(_) => Some(TypedId::Name(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_id_and_anything_else_is_looked_up() {
        let mut id = user("7").unwrap();
        id.look_up(|_| panic!("a number was looked up")).unwrap();
        assert_eq!(id.number(), Some(7));
        assert!(user("4294967295").is_err() && group("4294967295").is_err());

        let mut id = group("staff").unwrap();
        assert_eq!(id.number(), None);
        assert!(id.look_up(|_| Err("there is none".to_owned())).is_err());
        id.look_up(|name| Ok(name.len() as u32)).unwrap();
        assert_eq!(id.number(), Some(5));
    }
}
