//! [`TerminalWriter`]: a thread that writes to a terminal.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};

/// Writes to a terminal on a thread of its own: a write blocks while the terminal is stopped (Ctrl-S)
/// or its other end is not read. poll(2) does not prevent that: one byte of room is enough for it, and
/// Ctrl-S can come at any time. The terminal cannot be made non-blocking, since it is shared with the
/// shell, and it cannot always be opened again (after su(1) it belongs to another user).
///
/// The thread does not keep the process from ending.
pub(crate) struct TerminalWriter {
    texts: mpsc::Sender<Text>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<Infallible>>,
}

struct Text {
    bytes: Vec<u8>,
    /// Gets the result.
    written: Option<oneshot::Sender<io::Result<()>>>,
}

impl TerminalWriter {
    /// At most `capacity` texts wait.
    pub(crate) fn start(to: OwnedFd, capacity: usize) -> io::Result<Self> {
        let (texts, mut received) = mpsc::channel::<Text>(capacity);
        let (at_end, ended) = channel();
        let thread = thread::Builder::new().name("terminal".to_owned());
        thread.spawn(move || {
            let _at_end = at_end;
            while let Some(text) = received.blocking_recv() {
                let result = write_all(&to, &text.bytes);
                if let Some(written) = text.written {
                    // The task that waited for it may be gone.
                    let _ = written.send(result);
                }
            }
        })?;
        let ended = Mutex::new(ended);
        Ok(Self { texts, ended })
    }

    /// Completes when `bytes` are written.
    pub(crate) async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (written, result) = oneshot::channel();
        let written = Some(written);
        let sent = self.texts.send(Text { bytes, written }).await;
        let thread_is_gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        sent.map_err(|_| thread_is_gone())?;
        result.await.map_err(|_| thread_is_gone())?
    }

    /// Queues `bytes` without waiting until they are written; `false` where too many texts wait.
    pub(crate) fn write_later(&self, bytes: Vec<u8>) -> bool {
        let written = None;
        self.texts.try_send(Text { bytes, written }).is_ok()
    }

    /// Waits until all is written, no longer than `limit`.
    pub(crate) fn finish(self, limit: Duration) {
        drop(self.texts);
        if let Ok(ended) = self.ended.into_inner() {
            let _ = ended.recv_timeout(limit);
        }
    }
}

/// Writes all; blocks where a pipe or a terminal is full.
pub(crate) fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // Another process has made the terminal non-blocking.
            Err(Errno::AGAIN) => thread::sleep(Duration::from_millis(10)),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
