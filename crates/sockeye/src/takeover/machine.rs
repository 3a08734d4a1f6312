//! Who owns the path at which step: the two sides of a takeover, without any I/O.
//!
//! Only the predecessor decides: until it says `Yours` the path is its own, whatever the other side
//! does, and afterwards it is the successor's. Each side has all descriptors from `Offer` on, so the
//! end of a connection tells the other that it is left alone with them: a predecessor that gives
//! nothing away says `Cancel` before it closes, one that has died does not; a successor that serves
//! says so before it closes.

use super::frame::Frame;

/// What one side learns. Frames that have come are looked at before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Frame(Frame),
    /// The other side has closed or died.
    Closed,
    /// Nothing came in time, and nothing that comes later will be taken.
    Deadline,
}

/// The side that serves at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Predecessor {
    Connected,
    /// The successor has the descriptors.
    Offered,
    /// It may serve; its death now gives the path back.
    Yielded,
    /// It came to nothing, the path is still ours.
    Kept,
    HandedOver,
}

impl Predecessor {
    /// What is to be said. Before `Yours` the path must have been given up.
    pub(super) fn on(&mut self, event: Event) -> Option<Frame> {
        let (next, answer) = match (*self, event) {
            (Self::Connected, Event::Frame(Frame::Hello)) => (Self::Offered, Some(Frame::Offer)),
            (Self::Offered, Event::Frame(Frame::Ready)) => (Self::Yielded, Some(Frame::Yours)),
            (Self::Connected | Self::Offered, Event::Closed) => (Self::Kept, None),
            (Self::Connected | Self::Offered, _) => (Self::Kept, Some(Frame::Cancel)),
            (Self::Yielded, Event::Closed) => (Self::Kept, None),
            // Silent or not, it lives and has all that it needs.
            (Self::Yielded, _) => (Self::HandedOver, None),
            (over @ (Self::Kept | Self::HandedOver), _) => (over, None),
        };
        *self = next;
        answer
    }

    /// The server stops. Not to be asked once it has yielded: then the answer is awaited first.
    pub(super) fn stop(&mut self) -> Option<Frame> {
        self.on(Event::Deadline)
    }
}

/// The side that serves in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Successor {
    Asked,
    /// We have the descriptors and look at them.
    Offered,
    /// We wait for the last word.
    Ready,
    /// Nobody else has the path; we are about to serve.
    Owner,
    Serving,
    /// It came to nothing.
    Without(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The predecessor has ended, before we had anything of it.
    Ended,
    Cancelled,
    TimedOut,
    /// It does not keep to the protocol.
    Broken,
}

impl Successor {
    /// The first word is said by [`Successor::Asked`]: `Hello`.
    pub(super) fn on(&mut self, event: Event) {
        *self = match (*self, event) {
            (Self::Asked, Event::Frame(Frame::Offer)) => Self::Offered,
            (Self::Asked, Event::Closed) => Self::Without(Reason::Ended),
            (Self::Ready, Event::Frame(Frame::Yours) | Event::Closed) => Self::Owner,
            (Self::Asked | Self::Ready, Event::Frame(Frame::Cancel)) => {
                Self::Without(Reason::Cancelled)
            }
            (Self::Asked | Self::Ready, Event::Deadline) => Self::Without(Reason::TimedOut),
            (Self::Asked | Self::Ready, Event::Frame(_)) => Self::Without(Reason::Broken),
            // Nothing is read then.
            (other, _) => other,
        };
    }

    /// The descriptors are the right ones.
    pub(super) fn verified(&mut self) -> Option<Frame> {
        (*self == Self::Offered).then(|| {
            *self = Self::Ready;
            Frame::Ready
        })
    }

    /// Clients are served from now on.
    pub(super) fn serve(&mut self) -> Option<Frame> {
        (*self == Self::Owner).then(|| {
            *self = Self::Serving;
            Frame::Serving
        })
    }
}

#[cfg(test)]
mod tests;
