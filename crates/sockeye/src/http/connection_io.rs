//! [`ConnectionIo`]: the I/O of one HTTP connection. It knows where a request ends, and ends the connection
//! in a drain.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::caller::Caller;
use super::exchanges::Exchanges;
use super::request_scan::RequestScan;
use super::wire::{Http2Wire, PREFACE};
use crate::scratch;
use crate::server::{Connection, ConnectionDrain, LatchWaiter, LimitError};

/// The most bytes of the first read: hyper takes as many at once.
const FIRST_READ: usize = 8 << 10;

/// How long a client of HTTP/2 with nothing under way may take to answer a ping in a drain.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, as hyper reads and writes it.
///
/// HTTP/1 is delivered request by request: what comes behind a request stays here, or in the kernel, until
/// hyper has answered that. So between two requests hyper holds nothing, and can be dropped.
pub(super) struct ConnectionIo {
    connection: Connection,
    caller: Caller,
    drain: ConnectionDrain,
    /// Received, and not delivered yet.
    held: BytesMut,
    protocol: Option<Protocol>,
    scan: RequestScan,
    http2: Option<Box<Http2Wire>>,
    /// Whether a read of HTTP/2 has to be tried again once the responses are sent.
    awaits_idle: bool,
    head_timeout: Duration,
    /// Runs while a head, or the preface of HTTP/2, is incomplete; then, for HTTP/2, in a drain.
    head_timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl ConnectionIo {
    pub(super) fn new(connection: Connection, caller: Caller, head_timeout: Duration) -> Self {
        Self {
            drain: ConnectionDrain::new(Some(connection.on_drain())),
            connection,
            caller,
            held: BytesMut::new(),
            protocol: None,
            scan: RequestScan::new(),
            http2: None,
            awaits_idle: false,
            head_timeout,
            head_timer: None,
        }
    }

    /// Waits for the first bytes of a connection or of its next request, which are delivered later; `None`
    /// at EOF.
    pub(super) fn poll_begin(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Protocol>>> {
        loop {
            if let Some(protocol) = self.begun() {
                self.protocol = Some(protocol);
                if protocol == Protocol::Http2 {
                    self.head_timer = None;
                    let mut http2 = Box::new(Http2Wire::default());
                    http2.receive(&self.held[PREFACE.len()..]);
                    self.http2 = Some(http2);
                }
                return Poll::Ready(Ok(Some(protocol)));
            }
            let mut buffer = scratch::take(FIRST_READ);
            buffer.extend_from_slice(&self.held);
            let received = self.poll_receive(cx, &mut (&mut buffer).limit(FIRST_READ));
            match received {
                Poll::Ready(Ok(1..)) => self.held = buffer,
                _ => scratch::put_back(buffer),
            }
            if ready!(received)? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Which protocol it is, once that is clear.
    fn begun(&mut self) -> Option<Protocol> {
        if self.held.is_empty() {
            return None;
        }
        if self.protocol.is_some() {
            return self.protocol;
        }
        if self.held.starts_with(PREFACE) {
            return Some(Protocol::Http2);
        }
        if !PREFACE.starts_with(&self.held) {
            return Some(Protocol::Http1);
        }
        self.shrink_held();
        None
    }

    /// Takes back what hyper has not used.
    pub(super) fn hold(&mut self, unused: &[u8]) {
        if !unused.is_empty() {
            self.held = [unused, &self.held].concat().as_slice().into();
        }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Woken when a drain begins.
    pub(super) fn on_drain(&self) -> LatchWaiter {
        self.connection.on_drain()
    }

    fn exchanges(&self) -> &Exchanges {
        self.caller.exchanges()
    }

    /// Whether no request is under way, nor a part of one.
    fn is_between(&self) -> bool {
        match (&self.http2, self.protocol) {
            (Some(http2), _) => http2.is_idle(),
            (None, None) => self.held.is_empty(),
            (None, Some(_)) => self.exchanges().is_idle() && self.scan.is_between(),
        }
    }

    /// Whether bytes are delivered as they come.
    fn is_raw(&self) -> bool {
        self.http2.is_some() || self.exchanges().is_upgraded()
    }

    /// Notes the request that hyper has parsed since the last call.
    fn note_begun(&mut self) {
        if let Some(body) = self.exchanges().take_begun() {
            self.scan.begin(body);
            self.head_timer = None;
        }
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            // A request that takes its time is not the fault of a client of HTTP/2, whom hyper hears on.
            let is_answering = self
                .http2
                .as_ref()
                .is_some_and(|http2| !http2.is_answered());
            // Not without need: it wakes this task once more for each response.
            self.awaits_idle =
                is_answering && (self.connection.has_timeouts() || self.drain.poll_drains(cx));
            match self.connection.poll_recv_bytes(cx, buffer, !is_answering) {
                Poll::Ready(Ok(0)) if is_answering && self.drain.is_closing() => {
                    return self.poll_withheld(cx);
                }
                Poll::Ready(received) => {
                    match received {
                        Ok(1..) => {
                            self.drain.came();
                            self.connection.note_between(false);
                        }
                        _ => self.drain.ended(),
                    }
                    return Poll::Ready(received);
                }
                Poll::Pending => ready!(self.poll_wait(cx))?,
            }
        }
    }

    /// At EOF of our own making: hyper would give up the responses that it has not sent yet. `Ready` once
    /// the client has gone, or the drain is over.
    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.connection.poll_peer_gone(cx)?.is_ready() {
            return Poll::Ready(Ok(0));
        }
        self.connection.poll_aborted(cx).map_ok(|()| 0)
    }

    /// While nothing can be read: `Ready` once a drain calls for another read.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_between = self.is_between();
        self.connection.note_between(is_between);
        match self.protocol {
            Some(Protocol::Http1) if self.scan.is_in_head() => self.enforce_head_timeout(cx)?,
            Some(Protocol::Http1) if is_between => {
                let exchanges = self.exchanges();
                exchanges.set_parkable(!exchanges.is_unflushed());
            }
            None => self.enforce_head_timeout(cx)?,
            _ => {}
        }
        if !is_between {
            return Poll::Pending;
        }
        if self.http2.is_some() {
            ready!(self.poll_goaway_over(cx));
        }
        self.connection.poll_read_again(cx, &mut self.drain)
    }

    /// In a drain hyper ends an HTTP/2 connection, once the client has answered its ping: not every client
    /// does.
    fn poll_goaway_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.drain.poll_drains(cx) {
            return Poll::Pending;
        }
        let new = || Box::pin(tokio::time::sleep(PING_TIMEOUT));
        self.head_timer.get_or_insert_with(new).as_mut().poll(cx)
    }

    fn enforce_head_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let limit = self.head_timeout;
        let timer = self
            .head_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Err(LimitError::HeaderTimeout { limit }.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Delivers what is held, up to the end of the request.
    fn deliver_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let most = self.held.len().min(buffer.remaining());
        let most = if self.is_raw() {
            most
        } else {
            self.scan.feed(&self.held[..most.min(self.scan.most())])
        };
        buffer.put_slice(&self.held[..most]);
        self.held.advance(most);
        if self.held.is_empty() {
            scratch::put_back(std::mem::take(&mut self.held));
        } else {
            self.shrink_held();
        }
    }

    /// Gives a buffer back that was made for much more.
    fn shrink_held(&mut self) {
        if self.held.capacity() > 2 * self.held.len() {
            let held = BytesMut::from(&self.held[..]);
            scratch::put_back(std::mem::replace(&mut self.held, held));
        }
    }

    fn note_written(
        &mut self,
        cx: &Context<'_>,
        slices: &[IoSlice<'_>],
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => self.note_sent(cx, slices, count),
            // What a client that has gone has left unread is no loss of ours, as it would be between two
            // requests.
            Poll::Ready(Err(_)) => self.connection.note_between(false),
            Poll::Pending => {}
        }
        written
    }

    fn note_sent(&mut self, cx: &Context<'_>, slices: &[IoSlice<'_>], mut count: usize) {
        let Some(http2) = &mut self.http2 else {
            return;
        };
        for slice in slices {
            let length = slice.len().min(count);
            http2.send(&slice[..length]);
            count -= length;
        }
        if self.awaits_idle && http2.is_answered() {
            self.awaits_idle = false;
            // hyper reads before it writes.
            cx.waker().wake_by_ref();
        }
    }

    /// While a response is under way and the request has been read: fails once the client has gone.
    fn watch_peer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.note_begun();
        let exchanges = self.caller.exchanges();
        let is_read = self.scan.is_between() && self.held.is_empty();
        if self.is_raw() || exchanges.is_idle() || !is_read {
            return Ok(());
        }
        if self.connection.poll_peer_gone(cx)?.is_ready() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // What the client sends from now on fails there, and it is told to send no more.
        if self.drain.poll_drains(cx) && self.connection.shut_reading(&mut self.drain)? {
            exchanges.set_last();
        }
        Ok(())
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.exchanges().set_parkable(false);
        self.note_begun();
        if !self.held.is_empty() {
            self.deliver_held(buffer);
            return Poll::Ready(Ok(()));
        }
        let start = buffer.filled().len();
        if self.is_raw() {
            ready!(self.poll_receive(cx, buffer))?;
            if let Some(http2) = &mut self.http2 {
                http2.receive(&buffer.filled()[start..]);
            }
            return Poll::Ready(Ok(()));
        }
        let most = self.scan.most();
        ready!(self.poll_receive(cx, &mut (&mut *buffer).limit(most)))?;
        let received = &buffer.filled()[start..];
        let length = self.scan.feed(received);
        if length < received.len() {
            self.held = BytesMut::from(&received[length..]);
            buffer.set_filled(start + length);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.exchanges().set_parkable(false);
        let written = Pin::new(&mut self.connection).poll_write(cx, bytes);
        self.note_written(cx, &[IoSlice::new(bytes)], written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.exchanges().set_parkable(false);
        let written = Pin::new(&mut self.connection).poll_write_vectored(cx, slices);
        self.note_written(cx, slices, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.connection).poll_flush(cx))?;
        self.exchanges().note_flushed();
        // hyper calls this whenever all that it has to send is sent.
        Poll::Ready(self.watch_peer(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.http2.is_some() {
            // hyper has told the client which requests it has not looked at.
            self.connection.note_between(false);
        }
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
