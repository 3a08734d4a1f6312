//! [`RelayDirection`]: from one side of a relay to the other.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Buf;

use super::FdPolicy;
use super::direction_state::{Arrival, DirectionState, WriterEnd, arrival_of};
use super::end::{EndIo, SendFailure};
use super::fd_search::FdSearch;
use super::observer::ObservedSide;
use super::path::RelayPath;
use super::pause::{Pause, retries};
use super::pipes::PooledPipe;
use super::relay_piece::RelayPiece;
use super::relay_socket::RelaySocket;
use super::report::{DirectionEnd, DirectionReport, RelayFailure};
use super::settings::Settings;
use crate::ancillary::SendError;
use crate::lazy_async_fd::ReadOutcome;
use crate::peer::Peer;
use crate::scratch;

/// How often a direction receives before the other one is polled.
const ROUNDS: usize = 16;

pub(super) struct RelayDirection {
    pub(super) state: DirectionState,
    pub(super) report: DirectionReport,
    pub(super) path: RelayPath,
    pub(super) fds: FdPolicy,
    /// Whether a lot comes at a time.
    pub(super) is_bulk: bool,
    pub(super) search: FdSearch,
    /// Fds that were sent since the reader had nothing left to read.
    pub(super) in_flight: usize,
    /// Fds are queued, and the reader has no room.
    pub(super) waits_for_reader: bool,
    /// Received, and not sent yet.
    pub(super) pending: VecDeque<RelayPiece>,
    pipe: Option<PooledPipe>,
    pub(super) pause: Option<Box<Pause>>,
    pub(super) observed: Option<Box<ObservedSide>>,
    /// Nothing is received until the observer has room.
    pub(super) waits_for_observer: bool,
    /// Who has connected, if messages carry the credentials of their sender.
    pub(super) client: Option<Peer>,
}

impl RelayDirection {
    pub(super) fn new(path: RelayPath, fds: FdPolicy, search: FdSearch) -> Self {
        Self {
            state: DirectionState::Open,
            report: DirectionReport::default(),
            path,
            fds,
            is_bulk: false,
            search,
            in_flight: 0,
            waits_for_reader: false,
            pending: VecDeque::new(),
            pipe: None,
            pause: None,
            observed: None,
            waits_for_observer: false,
            client: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(
            self.state,
            DirectionState::Ended(_) | DirectionState::Failed(_)
        )
    }

    /// Whether it waits for the reader.
    pub(super) fn is_sending(&self) -> bool {
        !self.pending.is_empty() || self.pipe.is_some() || self.waits_for_reader
    }

    /// Whether it does not read until an observer has room.
    pub(super) fn is_held(&self) -> bool {
        self.waits_for_observer && matches!(self.state, DirectionState::Open)
    }

    /// Whether nothing more is passed on.
    pub(super) fn has_ended(&self) -> bool {
        self.is_over() || matches!(self.state, DirectionState::Discarding(_))
    }

    /// Passes on what it can. `Ready` where there may be more, or the state has changed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
        settings: &Settings,
    ) -> Poll<()> {
        for _ in 0..ROUNDS {
            match self.state {
                DirectionState::Ended(_) | DirectionState::Failed(_) => return Poll::Pending,
                DirectionState::Discarding(_) => {
                    return self.poll_discard(cx, source);
                }
                DirectionState::Open | DirectionState::Flushing(_) => {}
            }
            ready!(self.poll_flush(cx, target));
            match self.state {
                DirectionState::Open => {
                    match ready!(self.poll_arrival(cx, source, target, settings)) {
                        Arrival::Some => {}
                        Arrival::End(end) => self.state = DirectionState::Flushing(end),
                        Arrival::Failure(failure) => {
                            self.state = DirectionState::Failed(Some(failure));
                        }
                    }
                }
                DirectionState::Flushing(WriterEnd::Eof) => {
                    ready!(target.poll_close_write(cx));
                    self.state = DirectionState::Ended(DirectionEnd::Eof);
                }
                DirectionState::Flushing(WriterEnd::Reset) => {
                    self.state = DirectionState::Ended(DirectionEnd::Reset);
                }
                // A send has failed.
                _ => return Poll::Ready(()),
            }
            if !matches!(self.state, DirectionState::Open) {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }

    fn poll_arrival(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
        settings: &Settings,
    ) -> Poll<Arrival> {
        ready!(self.poll_observer(cx));
        if source.as_socket().is_some_and(RelaySocket::is_urgent) {
            return Poll::Ready(Arrival::Failure(RelayFailure::OutOfBand));
        }
        let arrival = match self.path {
            RelayPath::Splice if self.is_bulk => self.poll_splice(cx, source, target, settings),
            RelayPath::Splice | RelayPath::Copy => self.poll_copy(cx, source, target),
            RelayPath::Messages => self.poll_messages(cx, source, target),
            RelayPath::Records => self.poll_record(cx, source, target, settings),
        };
        match ready!(arrival) {
            Arrival::End(WriterEnd::Eof) if source.was_reset() => {
                Poll::Ready(Arrival::End(WriterEnd::Reset))
            }
            arrival => Poll::Ready(arrival),
        }
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
    ) -> Poll<Arrival> {
        let mut buffer = scratch::take(scratch::SIZE);
        let read = source.poll_read(cx, &mut buffer);
        if let Poll::Ready(Ok(1..)) = read {
            self.is_bulk = buffer.len() >= scratch::SIZE;
            self.send_now(cx, target, &buffer, None);
        }
        scratch::put_back(buffer);
        read.map(arrival_of)
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
        settings: &Settings,
    ) -> Poll<Arrival> {
        let (Some(socket), Some(mut pipe)) = (source.as_socket_mut(), settings.pipes.take()) else {
            return self.poll_copy(cx, source, target);
        };
        let filled = socket
            .io
            .poll_read(cx, |fd| pipe.fill(fd).map(ReadOutcome::some));
        match filled {
            Poll::Ready(Ok(count)) => self.is_bulk = count >= scratch::SIZE / 4,
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        if pipe.filled() > 0 {
            self.pipe = Some(pipe);
        }
        filled.map(arrival_of)
    }

    /// Sends bytes that were just received, with the credentials of `sender` if there is one; what there
    /// is no room for is pending then.
    pub(super) fn send_now(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut EndIo,
        bytes: &[u8],
        sender: Option<Peer>,
    ) {
        self.observe(bytes, false, sender);
        let credentials = sender.and_then(Peer::to_credentials);
        let mut rest = bytes;
        while !rest.is_empty() {
            match target.poll_write(cx, rest, credentials.as_ref()) {
                Poll::Ready(Ok(count)) => {
                    self.report.bytes += count as u64;
                    rest = &rest[count..];
                }
                Poll::Ready(Err(error)) => {
                    self.report.lost_bytes += rest.len() as u64;
                    self.send_failed(target, error);
                    return;
                }
                Poll::Pending => {
                    let piece = RelayPiece::of_bytes(rest).with_credentials(sender);
                    self.pending.push_back(piece);
                    return;
                }
            }
        }
    }

    /// Sends a record that was just received, or it is pending then.
    pub(super) fn send_record_now(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut EndIo,
        record: &[u8],
    ) {
        self.observe(record, true, None);
        match target.poll_write(cx, record, None) {
            Poll::Ready(Ok(count)) => {
                self.report.bytes += count as u64;
                self.report.records += 1;
            }
            // poll_flush decides whether it is sent again.
            Poll::Ready(Err(SendError::TooLong { .. })) | Poll::Pending => {
                self.pending.push_back(RelayPiece::record(record));
            }
            Poll::Ready(Err(error)) => {
                self.report.lost_bytes += record.len() as u64;
                self.report.lost_records += 1;
                self.send_failed(target, error);
            }
        }
    }

    /// Sends what is pending.
    fn poll_flush(&mut self, cx: &mut Context<'_>, target: &mut EndIo) -> Poll<()> {
        while let Some(piece) = self.pending.front_mut() {
            if let Some(pause) = &mut self.pause {
                ready!(pause.poll_over(cx));
            }
            match ready!(target.poll_send_piece(cx, piece)) {
                Ok(count) => {
                    self.pause = None;
                    self.report.bytes += count as u64;
                    self.report.fds += piece.fds.len() as u64;
                    self.in_flight += piece.fds.len();
                    piece.close_fds();
                    piece.bytes.advance(count);
                    self.report.records += u64::from(piece.is_record);
                    if piece.bytes.is_empty() || piece.is_record {
                        self.pending.pop_front();
                    }
                }
                Err(error) => {
                    if retries(&mut self.pause, target, &error) {
                        continue;
                    }
                    let count = piece.fds.len();
                    self.count_lost();
                    self.send_failed(target, error);
                    if count > 0 && matches!(self.state, DirectionState::Failed(None)) {
                        let failure = RelayFailure::FdsRefused { count };
                        self.state = DirectionState::Failed(Some(failure));
                    }
                    return Poll::Ready(());
                }
            }
        }
        if self.pending.capacity() > 0 {
            self.pending = VecDeque::new();
        }
        if let Some(pipe) = &mut self.pipe {
            let Some(socket) = target.as_socket_mut() else {
                return Poll::Ready(());
            };
            while pipe.filled() > 0 {
                match ready!(socket.io.poll_write(cx, |fd| pipe.empty(fd))) {
                    Ok(count) => self.report.bytes += count as u64,
                    Err(error) => {
                        self.report.lost_bytes += pipe.filled() as u64;
                        self.pipe = None;
                        self.send_failed(target, SendError::Io(error));
                        return Poll::Ready(());
                    }
                }
            }
            self.pipe = None;
        }
        Poll::Ready(())
    }

    fn count_lost(&mut self) {
        for piece in self.pending.drain(..) {
            self.report.lost_bytes += piece.bytes.len() as u64;
            self.report.lost_records += u64::from(piece.is_record);
            self.report.lost_fds += piece.fds.len() as u64;
        }
        if let Some(pipe) = self.pipe.take() {
            self.report.lost_bytes += pipe.filled() as u64;
        }
    }

    fn send_failed(&mut self, target: &mut EndIo, error: SendError) {
        self.state = match target.classify(error) {
            SendFailure::Closed => DirectionState::Discarding(DirectionEnd::ReaderClosed),
            SendFailure::Gone => DirectionState::Discarding(DirectionEnd::ReaderGone),
            SendFailure::FdsRefused => DirectionState::Failed(None),
            SendFailure::Fatal(failure) => DirectionState::Failed(Some(failure)),
        };
    }

    /// Nobody reads any more.
    pub(super) fn lose_reader(&mut self, end: DirectionEnd) {
        self.count_lost();
        self.state = DirectionState::Discarding(end);
    }

    /// How much has been received, to tell whether there was more since.
    pub(super) fn moved(&self) -> u64 {
        let report = &self.report;
        report.bytes + report.records + report.lost_bytes + report.lost_records
    }

    /// How it has ended.
    pub(super) fn end(&self) -> DirectionEnd {
        match self.state {
            DirectionState::Ended(end) | DirectionState::Discarding(end) => end,
            _ => DirectionEnd::Aborted,
        }
    }

    /// Notes how it ended, and returns why the relay ended it, if that is so.
    pub(super) fn finish(&mut self) -> Option<RelayFailure> {
        self.count_lost();
        self.report.end = self.end();
        if let Some(mut observed) = self.observed.take() {
            observed.end(self.report.end);
        }
        match &mut self.state {
            DirectionState::Failed(failure) => failure.take(),
            _ => None,
        }
    }

    /// Ends a direction whose reader takes no more. A writer that cannot be told goes on until its end.
    fn poll_discard(&mut self, cx: &mut Context<'_>, source: &mut EndIo) -> Poll<()> {
        let DirectionState::Discarding(end) = self.state else {
            return Poll::Pending;
        };
        if source.is_unix() {
            // Not before something is unread: only then can a close reset the connection.
            if ready!(source.poll_unread(cx)) {
                source.stop_reading();
            }
            self.state = DirectionState::Ended(end);
            return Poll::Ready(());
        }
        let mut buffer = scratch::take(scratch::SIZE);
        let read = source.poll_read(cx, &mut buffer);
        self.report.lost_bytes += buffer.len() as u64;
        scratch::put_back(buffer);
        if !matches!(ready!(read), Ok(1..)) {
            self.state = DirectionState::Ended(end);
        }
        Poll::Ready(())
    }
}
