//! What the fuzz targets need of private modules: those that take bytes from outside.
#![allow(missing_docs)]

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::activation::{self, ActivationError};
use crate::{SeqPacket, ancillary, program, takeover};

/// What the first line of a script names.
#[must_use]
pub fn interpreter(head: &[u8]) -> Option<PathBuf> {
    program::interpreter(head)
}

/// The number and the names of the sockets that variables announce to this pid.
///
/// # Errors
/// Where a variable is malformed.
pub fn announced(
    variable: impl Fn(&'static str) -> Option<OsString>,
    pid: u32,
) -> Result<Option<(usize, Vec<String>)>, ActivationError> {
    activation::announced(variable, pid, || None).map(|found| Some(found?.into_parts()))
}

/// Sends records with fds to a side of a takeover, and has it read them all.
pub async fn takeover(records: Vec<(Vec<u8>, Vec<BorrowedFd<'_>>)>) {
    let Ok((left, right)) = SeqPacket::pair() else {
        return;
    };
    for (bytes, fds) in records {
        // What cannot be sent does not come.
        let _ = ancillary::send_with(&left, &bytes, &fds);
    }
    drop(left);
    takeover::read_to_end(right).await;
}
