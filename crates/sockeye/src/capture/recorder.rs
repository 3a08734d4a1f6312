//! [`Recorder`]: an observer that writes a recording.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::encoder::Encoder;
use super::recorder_file::RecorderFile;
use super::recorder_options::RecorderOptions;
use super::recorder_status::RecorderStatus;
use super::recording_file::{self, RecorderError};
use crate::relay::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece, Observer};

/// With so many bytes, or parts of a writev(2), blocks are written without waiting for more.
const MOST_BYTES: usize = 256 << 10;
const MOST_PARTS: usize = 512;

/// After an error blocks are dropped for this long before the next attempt.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// An [`Observer`] that writes what it sees as pcap-ng, for Wireshark and for
/// [`Recording`](super::Recording).
///
/// The file has whole blocks only. Where blocks cannot be written (`ENOSPC`, `EIO`, a pipe without a
/// reader) they are dropped and counted ([`RecorderStatus`]), and later ones are tried again.
pub struct Recorder {
    encoder: Encoder,
    file: RecorderFile,
    status: RecorderStatus,
    next: Option<Box<dyn Observer>>,
    retry_at: Option<Instant>,
}

impl Recorder {
    /// A recorder that writes to a file. A new one has mode 0600. One that is there is emptied if it is a
    /// recording, or empty, and belongs to our user; it keeps its mode, but for the permissions of
    /// others. Two recorders never write to one file (flock(2)). A FIFO or a device is written to as
    /// it is.
    ///
    /// # Errors
    /// Where the file cannot be used, or written to.
    pub fn create(
        path: impl AsRef<Path>,
        options: &RecorderOptions,
    ) -> Result<Self, RecorderError> {
        let path = path.as_ref();
        let fd = recording_file::open(path)?;
        Self::new(fd, options).map_err(|error| RecorderError::new(path, error))
    }

    /// A recorder that writes to an fd, such as a pipe or standard output.
    ///
    /// # Errors
    /// As write(2).
    pub fn new(fd: impl Into<OwnedFd>, options: &RecorderOptions) -> io::Result<Self> {
        let mut recorder = Self {
            encoder: Encoder::new(options.clone()),
            file: RecorderFile::new(fd.into())?,
            status: RecorderStatus::default(),
            next: None,
            retry_at: None,
        };
        recorder.try_write().map_or(Ok(recorder), Err)
    }

    /// Hands over to another observer what was recorded, such as an
    /// [`ObserverHandle`](crate::relay::ObserverHandle) with a display behind it.
    #[must_use]
    pub fn then(mut self, next: impl Observer) -> Self {
        self.next = Some(Box::new(next));
        self
    }

    /// What is written and dropped, also while the recorder runs on a thread of its own.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        self.status.clone()
    }

    /// Writes what waits, and how many packets were dropped. Call it at the end, once the observer's
    /// thread has returned the recorder.
    pub fn finish(mut self) -> RecorderStatus {
        self.retry_at = None;
        self.write();
        let dropped = self.status.dropped().blocks;
        if dropped > 0 {
            self.encoder.statistics(dropped);
            self.write();
        }
        self.status.clone()
    }

    fn write_if_many(&mut self) {
        let blocks = &self.encoder.blocks;
        if blocks.len() >= MOST_BYTES || blocks.parts() >= MOST_PARTS {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.encoder.blocks.len() == 0 {
            return;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            let (blocks, bytes) = (self.encoder.blocks.ends().len(), self.encoder.blocks.len());
            self.status.add_dropped(blocks, bytes);
            self.encoder.settle(0);
            return;
        }
        if let Some(error) = self.try_write() {
            self.status.set_error(error);
        }
    }

    /// Returns why not everything was written.
    fn try_write(&mut self) -> Option<io::Error> {
        let blocks = &self.encoder.blocks;
        let (count, bytes) = (blocks.ends().len(), blocks.len());
        let written = self.file.write(blocks, &self.status);
        self.status.add_written(written.blocks, written.bytes);
        self.status
            .add_dropped(count - written.blocks, bytes - written.bytes);
        self.status.set_failing(written.error.is_some());
        let retry_at = |_: &io::Error| Instant::now() + RETRY_AFTER;
        self.retry_at = written.error.as_ref().map(retry_at);
        self.encoder.settle(written.blocks);
        written.error
    }
}

impl Observer for Recorder {
    fn begin(&mut self, begin: ObservedBegin) {
        self.encoder.begin(&begin);
        self.write_if_many();
        if let Some(next) = &mut self.next {
            next.begin(begin);
        }
    }

    fn piece(&mut self, piece: ObservedPiece) {
        self.encoder.piece(&piece);
        self.write_if_many();
        if let Some(next) = &mut self.next {
            next.piece(piece);
        }
    }

    fn end(&mut self, end: ObservedEnd) {
        self.encoder.end(&end);
        self.write_if_many();
        if let Some(next) = &mut self.next {
            next.end(end);
        }
    }

    fn missed(&mut self, gap: ObservedGap) {
        self.encoder.missed(&gap);
        if let Some(next) = &mut self.next {
            next.missed(gap);
        }
    }

    fn flush(&mut self) {
        self.write();
        if let Some(next) = &mut self.next {
            next.flush();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.write();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("file", &self.file)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
