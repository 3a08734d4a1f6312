//! [`RecorderFile`]: writes whole blocks, and takes back what is not whole.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, writev};

use super::block_buffer::BlockBuffer;
use super::recorder_status::RecorderStatus;
use crate::socket::path_of;

/// How often a recorder that waits for the reader of a pipe looks whether it should go on doing so.
const ABANDON_CHECK: Duration = Duration::from_millis(100);

/// Where a recorder writes to.
#[derive(Debug)]
pub(super) struct RecorderFile {
    file: File,
    /// Where the last whole block ends, in a regular file: what comes behind can be taken back.
    end: Option<u64>,
    /// There is a part of a block behind the last whole one.
    is_torn: bool,
}

/// How much of a [`BlockBuffer`] was written.
#[derive(Debug)]
pub(super) struct WrittenBlocks {
    pub(super) blocks: usize,
    pub(super) bytes: usize,
    /// Why not all.
    pub(super) error: Option<io::Error>,
}

impl RecorderFile {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
        let mut file = File::from(fd);
        if kind == FileType::Fifo {
            // An open file of our own: without blocking, whatever others do with theirs.
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if let Ok(own) = open(path_of(&file), flags, Mode::empty()) {
                file = own.into();
            }
        }
        let end = if kind == FileType::RegularFile {
            Some(Self::position(&mut file)?)
        } else {
            None
        };
        Ok(Self {
            file,
            end,
            is_torn: false,
        })
    }

    fn position(file: &mut File) -> io::Result<u64> {
        let flags = rustix::fs::fcntl_getfl(&*file)?;
        let from = if flags.contains(OFlags::APPEND) {
            SeekFrom::End(0)
        } else {
            SeekFrom::Current(0)
        };
        file.seek(from)
    }

    /// Writes all blocks, or as many whole ones as it can. Blocks while the reader of a pipe does not
    /// read, until the status is abandoned.
    pub(super) fn write(&mut self, blocks: &BlockBuffer, status: &RecorderStatus) -> WrittenBlocks {
        let mut done = 0;
        let error = self
            .mend()
            .and_then(|()| self.write_from(blocks, &mut done, status))
            .err();
        let whole = blocks.ends().partition_point(|&end| end <= done);
        let bytes = match whole {
            0 => 0,
            whole => blocks.ends()[whole - 1],
        };
        if let Some(end) = &mut self.end {
            *end += bytes as u64;
        }
        if bytes < done {
            self.is_torn = true;
            // What fails now is tried again before the next block.
            let _ = self.mend();
        }
        WrittenBlocks {
            blocks: whole,
            bytes,
            error,
        }
    }

    /// Takes back the part of a block at the end.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            // The reader of a pipe has read it already.
            let end = self.end.ok_or(Errno::PIPE)?;
            self.file.set_len(end)?;
            self.file.seek(SeekFrom::Start(end))?;
            self.is_torn = false;
        }
        Ok(())
    }

    fn write_from(
        &self,
        blocks: &BlockBuffer,
        done: &mut usize,
        status: &RecorderStatus,
    ) -> io::Result<()> {
        while *done < blocks.len() {
            match writev(&self.file, &blocks.slices(*done)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => *done += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(status)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn wait(&self, status: &RecorderStatus) -> io::Result<()> {
        let timeout = Timespec::try_from(ABANDON_CHECK).ok();
        while !status.is_abandoned() {
            let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::CANCELED.into())
    }
}
