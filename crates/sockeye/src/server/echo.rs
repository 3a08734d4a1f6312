//! [`echo()`]: the handler of an echo server.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::io::AsyncWrite;

use super::budget::{Amount, Hold};
use super::connection::Connection;
use super::connection_drain::ConnectionDrain;
use crate::lazy_async_fd::ReadOutcome;
use crate::passing::Passing;
use crate::recv;
use crate::scratch;

/// Sends back what it receives until EOF; in a drain it ends gracefully, as
/// [`Messages`](super::Messages) does. Received fds are closed.
///
/// It sends right after each read, in the same poll, so that an idle connection holds no buffer.
///
/// ```no_run
/// # use sockeye::{Listener, server::{Server, echo}};
/// # async fn example(listener: Listener) -> Result<(), Box<dyn std::error::Error>> {
/// let handler = |mut connection| async move {
///     let _ = echo(&mut connection).await;
/// };
/// Server::new().run(listener, handler, std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As recv(2), except that `ECONNRESET` is EOF too, and send(2); [`io::ErrorKind::TimedOut`] where one
/// of the server's timeouts has passed; [`LimitError::Buffered`](super::LimitError::Buffered) where the
/// server has evicted what a slow peer does not read.
///
/// # Cancel safety
/// None: bytes that were read may not have been sent.
pub fn echo(connection: &mut Connection) -> impl Future<Output = io::Result<()>> + Send {
    connection.begin_idle();
    let mut drain = ConnectionDrain::new(Some(connection.drain_signal()));
    // What a slow peer has not read yet.
    let mut rest = BytesMut::new();
    // Where that is parked during a wait.
    let mut hold: Option<Box<Hold<BytesMut>>> = None;
    // Not an async block, which would be larger; most connections are idle most of the time.
    poll_fn(move |cx| {
        loop {
            if let Some(hold) = &mut hold {
                rest = broken_if_evicted(connection, hold.take())?.unwrap_or_default();
            }
            if !rest.is_empty() {
                match poll_send(connection, cx, &mut rest) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => {
                        let hold = hold.get_or_insert_with(|| {
                            Hold::new(connection.budget(), connection.peer())
                        });
                        let parked = hold.park(std::mem::take(&mut rest), WAITING, cx.waker());
                        broken_if_evicted(connection, parked)?;
                        return Poll::Pending;
                    }
                }
                hold = None;
            }
            let passing = connection.socket().passing();
            match connection.poll_recv(cx, |fd| try_echo(fd, passing)) {
                Poll::Ready(Ok(Back::All)) => drain.came(),
                Poll::Ready(Ok(Back::Part(some))) => {
                    drain.came();
                    rest = some?;
                    connection.note_idle(false);
                }
                Poll::Ready(Ok(Back::End)) => return Poll::Ready(Ok(())),
                // The peer has closed without reading all that was sent to it.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => ready!(drain.poll_read_again(cx, connection.socket().io()))?,
            }
        }
    })
}

/// What one parked read counts as: its memory is kept as a whole.
const WAITING: Amount = Amount {
    bytes: scratch::SIZE,
    fds: 0,
};

/// An evicted reply is lost.
fn broken_if_evicted<T>(connection: &mut Connection, held: io::Result<T>) -> io::Result<T> {
    held.inspect_err(|_| connection.mark_aborted())
}

fn poll_send(
    connection: &mut Connection,
    cx: &mut Context<'_>,
    rest: &mut BytesMut,
) -> Poll<io::Result<()>> {
    while !rest.is_empty() {
        let sent = ready!(Pin::new(&mut *connection).poll_write(cx, rest))?;
        rest.advance(sent);
        if rest.is_empty() {
            *rest = BytesMut::new();
            connection.note_idle(true);
        }
    }
    Poll::Ready(Ok(()))
}

/// How much of one read was sent back.
enum Back {
    All,
    Part(io::Result<BytesMut>),
    End,
}

/// Receives and sends back.
fn try_echo(fd: BorrowedFd<'_>, passing: Passing) -> io::Result<ReadOutcome<Back>> {
    let mut buffer = scratch::take(scratch::SIZE);
    let received = recv::try_recv_bytes(fd, &mut (&mut buffer).limit(scratch::SIZE), passing);
    let attempt = received.map(|received| ReadOutcome {
        is_all: received.is_all,
        result: send_back(fd, &buffer),
    });
    scratch::put_back(buffer);
    attempt
}

fn send_back(fd: BorrowedFd<'_>, bytes: &[u8]) -> Back {
    if bytes.is_empty() {
        return Back::End;
    }
    match send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(sent) if sent == bytes.len() => Back::All,
        Ok(sent) => Back::Part(Ok(BytesMut::from(&bytes[sent..]))),
        Err(Errno::AGAIN | Errno::INTR) => Back::Part(Ok(BytesMut::from(bytes))),
        Err(errno) => Back::Part(Err(errno.into())),
    }
}
