//! [`Recording`]: reads a recording, ours or one that Wireshark has written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, stat};

use super::error::{RecordingError, RecordingErrorKind};
use super::open_failure::OpenFailure;
use super::recorded::{RecordedConnection, RecordedLocation};
use super::recording_parser::{ParsedRecording, RecordParts, parse};

const READ_AHEAD: usize = 256 << 10;

/// A recording: its connections in memory, about 48 bytes for each event, and their bytes in the file.
#[derive(Debug)]
pub struct Recording {
    file: File,
    connections: Vec<RecordedConnection>,
    long_records: HashMap<u64, RecordParts>,
    packets: u64,
    ignored: u64,
    cut: Option<u64>,
}

impl Recording {
    /// Reads the whole file once. Streams are TCP over IPv4 (link types 228 and 101), records exported
    /// PDUs (link type 252).
    ///
    /// # Errors
    /// Where it cannot be read, or is no pcap-ng file. One that was cut anywhere behind its first byte is
    /// one ([`cut`](Self::cut)).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let opened = Self::open_file(path);
        opened.map_err(|(offset, kind)| RecordingError {
            path: path.to_owned(),
            offset,
            kind,
        })
    }

    fn open_file(path: &Path) -> Result<Self, (u64, RecordingErrorKind)> {
        let failed = |failure| (0, RecordingErrorKind::Open(failure));
        let unopened = |error| failed(OpenFailure::explain(path, error, false));
        // A FIFO would wait for its writer.
        let found = stat(path).map_err(|error| unopened(error.into()))?;
        let found = FileType::from_raw_mode(found.st_mode);
        if found != FileType::RegularFile {
            return Err(failed(OpenFailure::WrongType(found)));
        }
        let file = File::open(path).map_err(unopened)?;
        let size = file.metadata().map_err(unopened)?.len();
        if size == 0 {
            return Err((0, RecordingErrorKind::Empty));
        }
        let ParsedRecording {
            assembled,
            long_records,
            end,
        } = parse(BufReader::with_capacity(READ_AHEAD, &file), size)?;
        Ok(Self {
            connections: assembled.connections,
            packets: assembled.packets,
            ignored: assembled.ignored,
            long_records,
            cut: (end < size).then_some(end),
            file,
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
        let whole = [(location.offset, location.length)];
        let parts = self.long_records.get(&location.offset);
        let mut rest = bytes.as_mut_slice();
        for &(offset, size) in parts.map_or(&whole[..], Vec::as_slice) {
            let (part, behind) = rest.split_at_mut(rest.len().min(size as usize));
            self.file.read_exact_at(part, offset)?;
            rest = behind;
        }
        Ok(bytes)
    }

    /// Where the last whole block ends, if the file goes on behind it with a part of one.
    #[must_use]
    pub fn cut(&self) -> Option<u64> {
        self.cut
    }

    /// How many packets the file has, as Wireshark counts.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// How many packets belong to no connection: they are neither TCP over IPv4 nor exported PDUs.
    #[must_use]
    pub fn ignored_packets(&self) -> u64 {
        self.ignored
    }
}
