//! The file of `--html`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sockeye::address::quoted;

use crate::exit::{Exit, failure};

/// Opened before the measurements, so that none is made for a page that cannot be written. Its old
/// contents stay until the page is written.
pub(super) struct PageFile {
    path: PathBuf,
    file: File,
    /// Whether there was none before.
    is_new: bool,
}

impl PageFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let open = |is_new| OpenOptions::new().write(true).create_new(is_new).open(path);
        let opened = match open(true) {
            Ok(file) => Ok((file, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                open(false).map(|file| (file, false))
            }
            Err(error) => Err(error),
        };
        let (file, is_new) = opened.map_err(|error| {
            failure(
                Exit::Failed,
                format!(
                    "cannot write the page {}: {error}; give --html a file that can be written",
                    quoted(path)
                ),
            )
        })?;
        let path = path.to_owned();
        Ok(Self { path, file, is_new })
    }

    pub(super) fn write(mut self, page: &str) -> anyhow::Result<()> {
        let is_regular = self.file.metadata().is_ok_and(|found| found.is_file());
        let emptied = if is_regular {
            self.file.set_len(0)
        } else {
            Ok(())
        };
        let written = emptied.and_then(|()| self.file.write_all(page.as_bytes()));
        written.map_err(|error| {
            failure(
                Exit::Failed,
                format!(
                    "cannot write the page {}: {error}; the results are above",
                    quoted(&self.path)
                ),
            )
        })
    }

    /// Removes the file if it is new: there is nothing to write.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is no socket, and this process has just made it"
    )]
    pub(super) fn give_up(self) {
        if self.is_new {
            // An empty file at worst.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
