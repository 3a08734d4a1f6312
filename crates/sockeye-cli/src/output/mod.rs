//! What is shown: results on standard output, everything else on standard error.

pub(crate) mod descriptor;
pub(crate) mod escape;
pub(crate) mod figures;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod socket;
pub(crate) mod table;
pub(crate) mod users;

use std::io::Write;

/// Writes one line of error to standard error.
pub(crate) fn complain(text: &str) {
    // If standard error is gone, there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "sockeye: {}", escape::text(text));
}
