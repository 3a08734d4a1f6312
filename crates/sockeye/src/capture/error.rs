//! [`RecordingError`]: why a file cannot be read as a recording.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::open_failure::OpenFailure;
use crate::address::quoted;
use crate::hint::hint_for;

/// Why a file cannot be read as a recording: at which byte, and what was found there.
#[derive(thiserror::Error)]
pub struct RecordingError {
    /// The file.
    pub path: PathBuf,
    /// The first byte of the block, or of the file, that cannot be read.
    pub offset: u64,
    /// What was found.
    #[source]
    pub kind: RecordingErrorKind,
}

/// What was found in a file that is no recording.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RecordingErrorKind {
    /// It cannot be opened, or is no regular file.
    #[error(transparent)]
    Open(OpenFailure),
    /// There is nothing in it.
    #[error("it is empty; give a file of sockeye tap --record")]
    Empty,
    /// The file begins as no pcap-ng file does.
    #[error(
        "it is no recording: it begins with {}, and a pcap-ng file with 0a 0d 0d 0a; give a file of sockeye tap --record, or a capture as pcap-ng",
        hex(.0)
    )]
    NotPcapng(Vec<u8>),
    /// A pcap file, the format before pcap-ng.
    #[error("it is a pcap file, not pcap-ng; make one of it with editcap -F pcapng OLD NEW")]
    OldPcap,
    /// A compressed file.
    #[error("it is compressed; decompress it first")]
    Compressed,
    /// A block breaks the rules of pcap-ng.
    #[error("a malformed block: {0}")]
    Malformed(&'static str),
    /// A block or a count over what is read at most.
    #[error("{what} of {found}, and at most {limit} is read")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much was found.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A system call failed.
    #[error("{0}; {hint}", hint = hint_for(Errno::from_io_error(.0)))]
    Io(#[from] io::Error),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, kind } = self;
        write!(f, "cannot read {}", quoted(path))?;
        match kind {
            RecordingErrorKind::Open(_) | RecordingErrorKind::Empty => write!(f, ": {kind}"),
            RecordingErrorKind::Malformed(_) | RecordingErrorKind::TooLarge { .. }
                if *offset > 0 =>
            {
                write!(
                    f,
                    " at byte {offset}: {kind}; record again, or keep what is before it (head -c {offset})"
                )
            }
            _ => write!(f, " at byte {offset}: {kind}"),
        }
    }
}

/// Bytes as xxd(1) shows them.
fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

crate::error_debug::debug_as_display!(RecordingError);
crate::error_debug::debug_as_display!(RecordingErrorKind);
