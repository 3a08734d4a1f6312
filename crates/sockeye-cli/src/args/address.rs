//! Addresses as values of arguments; [`lookup::address`](crate::lookup::address) says how they are read.

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye::Address;

use crate::lookup::address::{to_bind, to_call};

/// An address to be called.
pub(super) fn called() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|text| to_call(&text))
}

/// An address to be bound.
pub(super) fn bound() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|text| to_bind(&text))
}
