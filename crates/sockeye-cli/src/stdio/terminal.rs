//! The terminal on standard output.

use std::io;
use std::os::fd::AsFd;

/// Its columns and lines, if it is one.
pub(crate) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout().as_fd()).ok()?;
    // A terminal that does not know its size says 0.
    let size = (usize::from(size.ws_col), usize::from(size.ws_row));
    (size.0 > 0).then_some(size)
}
