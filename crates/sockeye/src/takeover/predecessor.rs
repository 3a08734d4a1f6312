//! [`Control`]: the side of the server that is there, which answers successors.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::connection::Connection;
use super::frame::Frame;
use super::machine::{Event, Predecessor};
use crate::listener::SeqPacketListener;
use crate::packet::SeqPacket;
use crate::peer::Peer;

/// Between two attempts to accept, where descriptors or memory ran out.
const PAUSE: Duration = Duration::from_secs(1);

/// Where successors ask. One is answered at a time, the others wait.
pub(crate) struct Control {
    listener: SeqPacketListener,
    candidate: Option<Candidate>,
}

struct Candidate {
    connection: Connection,
    peer: Peer,
    side: Predecessor,
}

/// What a successor waits for.
pub(crate) enum Request {
    /// The descriptors: [`Control::offer`].
    Descriptors,
    /// The path: give the files up, then [`Control::hand_over`].
    Path,
}

impl Control {
    /// # Errors
    /// As dup(2) and epoll_ctl(2).
    pub(crate) fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = socket.try_clone_to_owned()?;
        Ok(Self {
            listener: SeqPacketListener::adopt(socket).map_err(io::Error::other)?,
            candidate: None,
        })
    }

    /// The next request of a successor.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Request {
        loop {
            let candidate = match &mut self.candidate {
                Some(candidate) => candidate,
                empty => empty.insert(accept(&self.listener).await),
            };
            let answer = candidate.step().await;
            match candidate.side {
                Predecessor::Offered => return Request::Descriptors,
                Predecessor::Yielded => return Request::Path,
                _ => {
                    if let Some(frame) = answer {
                        candidate.connection.say(frame, &[]);
                    }
                    self.candidate = None;
                }
            }
        }
    }

    /// Passes on what the owner has open.
    pub(crate) fn offer(&mut self, descriptors: &[BorrowedFd<'_>]) {
        if let Some(candidate) = &mut self.candidate {
            candidate.connection.say(Frame::Offer, descriptors);
        }
    }

    /// Says that it is the successor's, and waits until that serves. `None` where it came to
    /// nothing: the files are ours again.
    ///
    /// # Cancel safety
    /// None: whose the files are is not known.
    pub(crate) async fn hand_over(&mut self) -> Option<Peer> {
        let mut candidate = self.candidate.take()?;
        candidate.connection.say(Frame::Yours, &[]);
        while candidate.side == Predecessor::Yielded {
            candidate.step().await;
        }
        (candidate.side == Predecessor::HandedOver).then_some(candidate.peer)
    }

    /// The server stops: nothing is handed over any more.
    pub(crate) fn stop(mut self) {
        if let Some(candidate) = &mut self.candidate
            && let Some(frame) = candidate.side.stop()
        {
            candidate.connection.say(frame, &[]);
        }
    }
}

impl Candidate {
    async fn step(&mut self) -> Option<Frame> {
        // Descriptors are none of what it may say, and are closed.
        let event = match self.connection.event().await {
            Ok((event, _)) => event,
            Err(_) => Event::Frame(Frame::Unknown),
        };
        self.side.on(event)
    }
}

/// Waits for a successor that may have the socket: of our own user, or of root. Others are closed,
/// told nothing.
async fn accept(listener: &SeqPacketListener) -> Candidate {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                if let Some(candidate) = admit(socket) {
                    return candidate;
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn admit(socket: SeqPacket) -> Option<Candidate> {
    let peer = socket.peer().ok()?;
    let own = rustix::process::geteuid().as_raw();
    let may = peer.uid().is_some_and(|uid| [0, own].contains(&uid));
    may.then(|| Candidate {
        connection: Connection::new(socket),
        peer,
        side: Predecessor::Connected,
    })
}
