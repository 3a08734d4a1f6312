//! Gives the fuzz targets access to private parsers of outside input.
#![allow(missing_docs)]

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::activation::{self, ActivationError};
use crate::inspect::{mounts, procfs};
use crate::{SeqPacket, ancillary, capture, handover, ids, program};

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

/// Reads bytes as a recording: what it returns lies inside of them.
pub fn recording(bytes: &[u8]) {
    capture::check_recording(bytes);
}

/// Sends records with fds to a side of a takeover, and has it read them all.
pub async fn takeover(records: Vec<(Vec<u8>, Vec<BorrowedFd<'_>>)>) {
    let Ok((left, right)) = SeqPacket::pair() else {
        return;
    };
    for (bytes, fds) in records {
        // What cannot be sent does not come.
        let _ = ancillary::send_msg(&left, &bytes, &fds);
    }
    drop(left);
    handover::read_to_end(right).await;
}

/// Reads `text` as each of the files of `/proc` that we take apart, and has it name the lock of a
/// file with this id.
pub fn proc(text: &[u8], id: &str) {
    let _ = procfs::effective_uid(text);
    let _ = procfs::flags(text);
    let _ = procfs::socket_in(text);
    if let Some(mount) = mounts::parse(text) {
        assert!(mount.point.as_os_str().len() <= text.len());
    }
    if let Ok(text) = str::from_utf8(text) {
        let _ = procfs::locked_by(text, id);
        let _ = ids::mapped(text);
    }
}

/// The flags of a process in its line of `/proc/PID/stat`.
#[must_use]
pub fn flags(stat: &[u8]) -> Option<u32> {
    procfs::flags(stat)
}
