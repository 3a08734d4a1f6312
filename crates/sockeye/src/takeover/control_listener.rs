//! [`ControlListener`]: the predecessor's side, which answers successors.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::file_watch::FileWatch;
use crate::handover::{ControlConnection, Frame, HandoverEvent, Predecessor, STEP};
use crate::ids;
use crate::listener::SeqPacketListener;
use crate::packet::SeqPacket;
use crate::peer::Peer;

/// The accept(2) back-off, where fds or memory ran out.
const PAUSE: Duration = Duration::from_secs(1);
/// The connection limit. For one more, the oldest of those that have said least is closed.
const CANDIDATES: usize = 16;
/// How long a successor may check its offer while another one waits.
const HURRY: Duration = Duration::from_secs(3);

/// Accepts successors. One at a time has an offer; the others wait. The latest is served next: it was
/// started last, and earlier ones may hang.
pub(crate) struct ControlListener {
    listener: SeqPacketListener,
    /// In the order in which they have come.
    candidates: Vec<Candidate>,
    /// Whether offers are still made.
    offers: bool,
    /// How long a successor that is ready may take to serve; `None`: until [`Self::leave`].
    patience: Option<Duration>,
    /// Of the socket's file: without it no successor can connect.
    watch: io::Result<FileWatch>,
}

/// A process that has connected.
struct Candidate {
    connection: ControlConnection,
    peer: Peer,
    side: Predecessor,
}

/// What has happened to a successor, or what it waits for.
pub(crate) enum Request {
    /// Nothing, this time.
    Nothing,
    /// The fds: [`ControlListener::offer`], or [`ControlListener::refuse`].
    Descriptors,
    /// It had an offer, and gave up.
    GivenUp,
    /// It serves, and owns the path. It may have ended since, after a takeover of its own.
    Taken(Peer),
    /// A process of a user that may not take over has asked, and was refused.
    Denied(Peer),
    /// The file of the control socket may have been removed.
    FileChanged,
}

impl ControlListener {
    /// # Errors
    /// As dup(2) and epoll_ctl(2).
    pub(crate) fn new(socket: BorrowedFd<'_>, file: &Path, patience: Duration) -> io::Result<Self> {
        let socket = socket.try_clone_to_owned()?;
        Ok(Self {
            listener: SeqPacketListener::adopt(socket).map_err(io::Error::other)?,
            candidates: Vec::new(),
            offers: true,
            patience: Some(patience),
            watch: FileWatch::of(file),
        })
    }

    /// Why the removal of the file would go unnoticed, if it would.
    pub(crate) fn unwatched(&self) -> Option<&io::Error> {
        self.watch.as_ref().err()
    }

    /// The next request of a successor. One thing at a time: other processes connect as often as they like.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Request {
        if self.next_in_turn().is_some() {
            return Request::Descriptors;
        }
        let (index, event) = match self.wait().await {
            Wakeup::Connection(socket) => {
                return self.admit(socket).map_or(Request::Nothing, Request::Denied);
            }
            Wakeup::Change => return Request::FileChanged,
            Wakeup::Event(index, event) => (index, event),
        };
        let candidate = &mut self.candidates[index];
        let had_offer = candidate.side.has_offer();
        candidate.take(event, self.patience);
        match candidate.side {
            Predecessor::Asked => self.hurry(),
            Predecessor::HandedOver => return Request::Taken(self.candidates.remove(index).peer),
            Predecessor::Kept => {
                self.candidates.remove(index);
                if had_offer {
                    return Request::GivenUp;
                }
            }
            _ => {}
        }
        Request::Nothing
    }

    /// Passes the owner's fds on (`SCM_RIGHTS`).
    pub(crate) fn offer(&mut self, descriptors: &[BorrowedFd<'_>]) {
        let Some(index) = self.next_in_turn() else {
            return;
        };
        let candidate = &mut self.candidates[index];
        if let Some(frame) = candidate.side.offer() {
            candidate.connection.say(frame, descriptors);
            candidate.connection.wait_until(Some(Instant::now() + STEP));
            self.hurry();
        }
    }

    /// Shortens the deadline of an unchecked offer while another successor waits.
    fn hurry(&mut self) {
        let sides = || self.candidates.iter().map(|candidate| candidate.side);
        let is_awaited = sides().any(|side| side == Predecessor::Asked);
        if let Some(index) = sides().position(|side| side == Predecessor::Offered)
            && is_awaited
        {
            let soon = Instant::now() + HURRY;
            self.candidates[index].connection.wait_at_most_until(soon);
        }
    }

    /// Nothing can be passed on.
    pub(crate) fn refuse(&mut self) {
        if let Some(index) = self.next_in_turn() {
            self.candidates[index].withdraw();
            self.candidates.remove(index);
        }
    }

    /// Makes no more offers. Returns whether a successor has one still, and may take the path at any
    /// moment.
    ///
    /// Where the server `leaves` in time, one that is ready has until then, and gets the path after that.
    pub(crate) fn stop(&mut self, leaves: bool) -> bool {
        self.offers = false;
        let Some(index) = self.holder() else {
            return false;
        };
        if leaves {
            self.patience = None;
            let holder = &mut self.candidates[index];
            if holder.side == Predecessor::Promised {
                holder.connection.wait_until(None);
            }
        }
        true
    }

    /// Whether a successor has an offer.
    pub(crate) fn has_holder(&self) -> bool {
        self.holder().is_some()
    }

    /// Withdraws the offer. Returns the successor, if it has taken the path before. The others hear of it
    /// when this is dropped; files that are to be removed must be gone by then.
    pub(crate) fn revoke(&mut self) -> Option<Peer> {
        self.end(Predecessor::on)
    }

    /// As [`Self::revoke`], but a successor that is ready gets the path, and is returned too.
    pub(crate) fn leave(&mut self) -> Option<Peer> {
        self.end(Predecessor::leave_on)
    }

    fn end(
        &mut self,
        on: impl Fn(&mut Predecessor, HandoverEvent) -> Option<Frame>,
    ) -> Option<Peer> {
        self.offers = false;
        let index = self.holder()?;
        let holder = &mut self.candidates[index];
        while holder.side.has_offer() {
            let event = holder.connection.last_look();
            let event = event.map_or(HandoverEvent::Frame(Frame::Unknown), |(event, _)| event);
            on(&mut holder.side, event);
        }
        matches!(holder.side, Predecessor::HandedOver | Predecessor::Left)
            .then(|| self.candidates.remove(index).peer)
    }

    /// Who has an offer.
    fn holder(&self) -> Option<usize> {
        self.candidates
            .iter()
            .position(|candidate| candidate.side.has_offer())
    }

    /// The successor that gets the next offer, if one may be made.
    fn next_in_turn(&self) -> Option<usize> {
        let may = self.offers && self.holder().is_none();
        let mut sides = self.candidates.iter().map(|candidate| candidate.side);
        sides.rposition(|side| may && side == Predecessor::Asked)
    }

    /// Waits for the next wake-up. Frames come before new connections.
    async fn wait(&self) -> Wakeup {
        let mut events: Vec<_> = self
            .candidates
            .iter()
            .map(|candidate| Box::pin(candidate.event()))
            .collect();
        let mut connection = pin!(accept(&self.listener));
        let mut change = pin!(async {
            match &self.watch {
                Ok(watch) => watch.has_changed().await,
                Err(_) => std::future::pending().await,
            }
        });
        poll_fn(|cx| {
            for (index, event) in events.iter_mut().enumerate() {
                if let Poll::Ready(event) = event.as_mut().poll(cx) {
                    return Poll::Ready(Wakeup::Event(index, event));
                }
            }
            if change.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wakeup::Change);
            }
            connection.as_mut().poll(cx).map(Wakeup::Connection)
        })
        .await
    }

    /// Admits processes of our own user and of root. Others are refused, and returned.
    fn admit(&mut self, socket: SeqPacket) -> Option<Peer> {
        let peer = socket.peer().ok()?;
        let mut connection = ControlConnection::new(socket);
        if !peer
            .uid()
            .is_some_and(|uid| uid == 0 || Some(uid) == ids::own_uid())
        {
            connection.say(Frame::Denied, &[]);
            return Some(peer);
        }
        connection.wait_until(Some(Instant::now() + STEP));
        let candidate = Candidate {
            connection,
            peer,
            side: Predecessor::Connected,
        };
        if self.candidates.len() >= CANDIDATES {
            let oldest = |wanted| {
                let mut sides = self.candidates.iter().map(|candidate| candidate.side);
                sides.position(|side| side == wanted)
            };
            let least = oldest(Predecessor::Connected).or_else(|| oldest(Predecessor::Asked));
            if let Some(index) = least {
                self.candidates.remove(index).withdraw();
            }
        }
        self.candidates.push(candidate);
        None
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        for candidate in &self.candidates {
            candidate.connection.say(Frame::Cancel, &[]);
        }
    }
}

/// What [`ControlListener::wait`] has waited for.
enum Wakeup {
    Connection(SeqPacket),
    Event(usize, HandoverEvent),
    Change,
}

impl Candidate {
    async fn event(&self) -> HandoverEvent {
        // A successor passes no fds; any that come are closed.
        match self.connection.event().await {
            Ok((event, _)) => event,
            Err(_) => HandoverEvent::Frame(Frame::Unknown),
        }
    }

    fn take(&mut self, event: HandoverEvent, patience: Option<Duration>) {
        if let Some(frame) = self.side.on(event) {
            self.connection.say(frame, &[]);
        }
        let deadline = match self.side {
            // It waits for an offer, and gives up by itself.
            Predecessor::Asked => None,
            Predecessor::Promised => {
                patience.and_then(|patience| Instant::now().checked_add(patience))
            }
            _ => return,
        };
        self.connection.wait_until(deadline);
    }

    /// Makes no offer to it.
    fn withdraw(&mut self) {
        if let Some(frame) = self.side.on(HandoverEvent::Deadline) {
            self.connection.say(frame, &[]);
        }
    }
}

/// Waits for the next connection.
async fn accept(listener: &SeqPacketListener) -> SeqPacket {
    loop {
        match listener.accept().await {
            Ok(socket) => return socket,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
