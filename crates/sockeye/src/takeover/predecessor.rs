//! [`Control`]: the side of the server that is there, which answers successors.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::connection::Connection;
use super::machine::Predecessor;
use crate::claim::Inheritance;
use crate::listener::SeqPacketListener;
use crate::packet::SeqPacket;
use crate::peer::Peer;

/// Between two attempts to accept, where descriptors or memory ran out.
const PAUSE: Duration = Duration::from_secs(1);

/// Where successors ask. One is answered at a time, the others wait.
pub(crate) struct Control {
    listener: SeqPacketListener,
    to_pass_on: Inheritance,
    candidate: Option<Candidate>,
}

struct Candidate {
    connection: Connection,
    peer: Peer,
    side: Predecessor,
}

impl Control {
    /// # Errors
    /// As dup(2) and epoll_ctl(2).
    pub(crate) fn new(to_pass_on: Inheritance) -> io::Result<Self> {
        let listener = to_pass_on.control.try_clone()?;
        Ok(Self {
            listener: SeqPacketListener::adopt(listener).map_err(io::Error::other)?,
            to_pass_on,
            candidate: None,
        })
    }

    /// Completes when a successor is ready: then give the files up and call [`Control::hand_over`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn ready(&mut self) {
        loop {
            let candidate = match &mut self.candidate {
                Some(candidate) => candidate,
                empty => empty.insert(accept(&self.listener).await),
            };
            // What came with descriptors that we cannot take is none of ours.
            let event = candidate.connection.event().await;
            let event = event.map_or(super::machine::Event::Closed, |(event, _)| event);
            let answer = candidate.side.on(event);
            match candidate.side {
                Predecessor::Yielded => return,
                Predecessor::Offered => {
                    let Inheritance {
                        listener,
                        lock,
                        control,
                    } = &self.to_pass_on;
                    let descriptors = [listener.as_fd(), lock.as_fd(), control.as_fd()];
                    if let Some(frame) = answer {
                        candidate.connection.say(frame, &descriptors);
                    }
                }
                _ => {
                    if let Some(frame) = answer {
                        candidate.connection.say(frame, &[]);
                    }
                    self.candidate = None;
                }
            }
        }
    }

    /// Says that it is the successor's, and waits until that serves. `None` where it came to
    /// nothing: the files are ours again.
    ///
    /// # Cancel safety
    /// None: whose the files are is not known.
    pub(crate) async fn hand_over(&mut self) -> Option<Peer> {
        let mut candidate = self.candidate.take()?;
        candidate.connection.say(super::frame::Frame::Yours, &[]);
        while candidate.side == Predecessor::Yielded {
            let event = candidate.connection.event().await;
            let event = event.map_or(super::machine::Event::Closed, |(event, _)| event);
            candidate.side.on(event);
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
    let may = peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw();
    may.then(|| Candidate {
        connection: Connection::new(socket),
        peer,
        side: Predecessor::Connected,
    })
}
