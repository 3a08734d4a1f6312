//! [`Unresolved`]: arguments whose meaning depends on the system.

use super::address::TypedAddress;
use super::id::TypedId;

/// To be looked up before the subcommand runs; ids with the option that they are of.
pub(crate) enum Unresolved<'a> {
    Address(&'a mut TypedAddress),
    User(&'static str, &'a mut TypedId),
    Group(&'static str, &'a mut TypedId),
}
