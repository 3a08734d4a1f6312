//! [`RecordingError`]: why a file cannot be read as a recording.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::address::quoted;

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
    /// It is no regular file.
    #[error("no regular file; save it to one first")]
    NotAFile,
    /// The file begins as no pcap-ng file does.
    #[error("it begins with {0:02x?}, and a pcap-ng file with 0a 0d 0d 0a")]
    NotPcapng([u8; 4]),
    /// A pcap file, the format before pcap-ng.
    #[error(
        "a pcap file, which has no directions and no comments; write pcap-ng (`editcap -F pcapng OLD NEW`)"
    )]
    OldPcap,
    /// A compressed file.
    #[error("a compressed file; decompress it first")]
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
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, kind } = self;
        write!(f, "cannot read {} at byte {offset}: {kind}", quoted(path))
    }
}

crate::error_debug::debug_as_display!(RecordingError);
crate::error_debug::debug_as_display!(RecordingErrorKind);
