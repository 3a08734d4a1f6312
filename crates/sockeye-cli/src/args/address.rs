//! Addresses as values of arguments; [`lookup::address`](crate::lookup::address) says how they are read.

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye::Address;

use crate::lookup::address::{to_bind, to_connect};

/// An address to connect to.
pub(super) fn connectable() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|text| to_connect(&text))
}

/// An address to bind.
pub(super) fn bound() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(|text| to_bind(&text))
}
