//! Connections for unit tests of handlers, and [`DrainHandle`].

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::Connection;
use crate::listener::ConnectedSocket;
use crate::packet::SeqPacket;
use crate::passing::Passing;
use crate::server::Server;
use crate::server::counters::{ConnectionGuard, Counters, Report};
use crate::stream::Stream;

/// Starts a drain or an abort of a connection that belongs to no running server, from
/// [`Connection::pair`].
#[derive(Debug, Clone)]
pub struct DrainHandle(Arc<Counters>);

impl DrainHandle {
    /// Begins a graceful shutdown: [`Connection::shutdown_token`] is cancelled, and
    /// [`Messages`](crate::server::Messages), [`Records`](crate::server::Records) and
    /// [`echo()`](crate::server::echo()) end when nothing is in progress.
    #[doc(alias = "graceful shutdown")]
    pub fn drain(&self) {
        self.0.drain.open();
    }

    /// Does what happens at the drain timeout and after [`Server::abort_grace`]:
    /// [`Connection::abort_token`] is cancelled, and reads and writes fail with
    /// [`LimitError::Aborted`](crate::server::LimitError::Aborted). The handler is the caller's to drop.
    pub fn abort(&self) {
        self.0.drain.open();
        self.0.abort.open();
        self.0.dropped.open();
    }

    /// What the server would report if it ended now. Drop the connection first: while it is open it
    /// counts as one that has outlived its handler, as drained where it is idle in a drain and has no
    /// unread input, and as aborted otherwise, before a drain in any case.
    #[must_use]
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl Connection {
    /// A connection without a server, its client, and a handle that starts a drain or an abort: for
    /// unit tests of handlers. They may be used with a paused clock, as [`Stream::pair`]. The client may
    /// pass fds.
    ///
    /// ```
    /// use sockeye::framing::Framing;
    /// use sockeye::server::{Connection, Messages};
    ///
    /// async fn greet(connection: Connection) {
    ///     let mut messages = Messages::new(connection, Framing::Line, 100);
    ///     while let Ok(Some(name)) = messages.next().await {
    ///         let _ = messages.send(&[b"hello ", &name.payload[..]].concat()).await;
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (connection, client, handle) = Connection::pair()?;
    /// let handler = tokio::spawn(greet(connection));
    /// let mut client = Messages::new(client, Framing::Line, 100);
    /// client.send(b"world").await?;
    /// assert_eq!(client.next().await?.expect("no EOF").payload, "hello world");
    /// handle.drain();
    /// handler.await?;
    /// assert!(client.next().await?.is_none());
    /// assert_eq!(handle.report().drained, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Stream, DrainHandle)> {
        Self::pair_of(&Server::new())
    }

    /// As [`Connection::pair`], with the timeouts and limits of `server`; permits are not taken.
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn pair_of(server: &Server) -> io::Result<(Self, Stream, DrainHandle)> {
        let (ours, client) = Stream::pair()?;
        Ok(connected(server, ours, client))
    }
}

impl Connection<SeqPacket> {
    /// As [`Connection::pair`], for records.
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn seqpacket_pair() -> io::Result<(Self, SeqPacket, DrainHandle)> {
        Self::seqpacket_pair_of(&Server::new())
    }

    /// As [`Connection::pair_of`], for records.
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn seqpacket_pair_of(server: &Server) -> io::Result<(Self, SeqPacket, DrainHandle)> {
        let (ours, client) = SeqPacket::pair()?;
        Ok(connected(server, ours, client))
    }
}

fn connected<S: ConnectedSocket + AsFd>(
    server: &Server,
    mut ours: S,
    client: S,
) -> (Connection<S>, S, DrainHandle) {
    ours.set_passing(Passing::Receives);
    let counters = Counters::new(server);
    let guard = ConnectionGuard::new(&counters);
    let connection = Connection::new(ours, server.timeouts, guard);
    (connection, client, DrainHandle(counters))
}
