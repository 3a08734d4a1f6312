//! [`FileBody`]: the body of a response, read in pieces as the client takes them.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::client_log::ClientLog;

/// Bytes of the first read: a client of HTTP/2 may ask for 200 files at once, and read none of them.
const FIRST_PIECE: u64 = 4 << 10;
/// Bytes of a further read: hyper holds such a piece while a client does not read, and one more is on its
/// way.
const PIECE: u64 = 16 << 10;

/// Part of a file, or a text.
pub(super) struct FileBody {
    state: BodyState,
    /// Bytes that are still to come.
    left: u64,
    /// Whose log says that the file could not be read to its end, and what it calls the request.
    log: Option<(Arc<ClientLog>, String)>,
}

enum BodyState {
    Ready(Bytes, Option<PieceReader>),
    Reading(JoinHandle<io::Result<(Bytes, Option<PieceReader>)>>),
    /// `None`: all is read, and the file is closed.
    Idle(Option<PieceReader>),
}

/// The rest of a file that is being sent.
struct PieceReader {
    file: File,
    rest: Range<u64>,
}

impl PieceReader {
    /// The next piece, and what reads the one after it. Blocks as long as the file system takes.
    fn next(mut self, most: u64) -> io::Result<(Bytes, Option<Self>)> {
        let mut piece = self.room(most);
        self.file.read_exact_at(&mut piece, self.rest.start)?;
        self.rest.start += piece.len() as u64;
        let rest = (!self.rest.is_empty()).then_some(self);
        Ok((piece.into(), rest))
    }

    /// The next piece, as far as it is in memory; `None` where that may block, or fails.
    fn next_in_memory(&mut self) -> Option<Bytes> {
        let mut piece = self.room(PIECE);
        let into = &mut [IoSliceMut::new(&mut piece)];
        let read = preadv2(&self.file, into, self.rest.start, ReadWriteFlags::NOWAIT);
        let count = read.ok().filter(|&count| count > 0)?;
        piece.truncate(count);
        self.rest.start += count as u64;
        Some(piece.into())
    }

    fn room(&self, most: u64) -> Vec<u8> {
        let length = most.min(self.rest.end - self.rest.start);
        vec![0; usize::try_from(length).unwrap_or_default()]
    }
}

impl FileBody {
    pub(super) fn empty() -> Self {
        Self::text(Bytes::new())
    }

    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self {
            left: text.len() as u64,
            state: BodyState::Ready(text, None),
            log: None,
        }
    }

    /// Part of a file. Blocks as long as the file system takes.
    pub(super) fn of_file(file: File, part: Range<u64>) -> io::Result<Self> {
        let left = part.end - part.start;
        let (first, rest) = PieceReader { file, rest: part }.next(FIRST_PIECE)?;
        Ok(Self {
            state: BodyState::Ready(first, rest),
            left,
            log: None,
        })
    }

    /// How many bytes are still to come.
    pub(super) fn size(&self) -> u64 {
        self.left
    }

    /// Has a file that cannot be read to its end reported; `request` is what the log calls the request.
    pub(super) fn log_to(&mut self, log: &Arc<ClientLog>, request: impl FnOnce() -> String) {
        if matches!(&self.state, BodyState::Ready(_, Some(_))) {
            self.log = Some((Arc::clone(log), request()));
        }
    }

    fn tell(&self, error: &io::Error) {
        let Some((log, request)) = &self.log else {
            return;
        };
        let found = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the file was truncated while it was sent".to_owned(),
            _ => format!("the file could not be read: {error}"),
        };
        let left = self.left;
        log.complain_of(&format!(
            "{request}: {found}, with {left} bytes still to come; its connection is closed"
        ));
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                BodyState::Ready(piece, rest) => {
                    let (piece, rest) = (std::mem::take(piece), rest.take());
                    this.left -= piece.len() as u64;
                    this.state = BodyState::Idle(rest);
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                BodyState::Idle(rest) => {
                    let Some(mut reader) = rest.take() else {
                        return Poll::Ready(None);
                    };
                    this.state = match reader.next_in_memory() {
                        // The last one goes on to a thread, which closes the file.
                        Some(piece) => BodyState::Ready(piece, Some(reader)),
                        None => BodyState::Reading(spawn_blocking(|| reader.next(PIECE))),
                    };
                }
                BodyState::Reading(reading) => {
                    let read = ready!(Pin::new(reading).poll(cx));
                    match read.map_err(io::Error::from).flatten() {
                        Ok((piece, rest)) => this.state = BodyState::Ready(piece, rest),
                        Err(error) => {
                            this.tell(&error);
                            this.state = BodyState::Idle(None);
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        let rest = match &mut self.state {
            BodyState::Ready(_, rest) | BodyState::Idle(rest) => rest.take(),
            BodyState::Reading(_) => None,
        };
        // close(2) may block (FUSE, NFS).
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn_blocking(|| drop(rest));
        }
    }
}
