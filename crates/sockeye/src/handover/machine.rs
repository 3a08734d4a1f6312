//! Who owns the path at which step: the two sides of a takeover, without any I/O.
//!
//! The predecessor owns the path, and goes on serving, until the successor has sent `Serving`. That
//! it could be sent decides, whenever it is read: a predecessor that takes its offer back shuts
//! down its reading side and looks a last time, so that `Serving` either is seen by then or fails to
//! be sent. Each side has all fds from `Offer` on, so the end of a connection tells the
//! other that it is left alone with them: a predecessor that takes its offer back says `Cancel`
//! before it closes, one that has died does not.

use super::frame::Frame;

/// What one side learns. Frames that have come are looked at before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandoverEvent {
    Frame(Frame),
    /// The other side has closed or died.
    Closed,
    /// Nothing came in time, and nothing that is sent later will arrive.
    Deadline,
}

/// The side that serves at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Predecessor {
    Connected,
    /// The successor waits for the fds.
    Asked,
    /// It has them and looks at them.
    Offered,
    /// It may serve at any moment.
    Promised,
    /// It came to nothing, the path is still ours.
    Kept,
    HandedOver,
}

impl Predecessor {
    /// What is to be said. Before `Cancel` our own files must have gone, if they are to go.
    pub(crate) fn on(&mut self, event: HandoverEvent) -> Option<Frame> {
        let (next, answer) = match (*self, event) {
            (Self::Connected, HandoverEvent::Frame(Frame::Hello)) => (Self::Asked, None),
            (Self::Offered, HandoverEvent::Frame(Frame::Ready)) => (Self::Promised, None),
            (Self::Promised, HandoverEvent::Frame(Frame::Serving)) => (Self::HandedOver, None),
            (over @ (Self::Kept | Self::HandedOver), _) => (over, None),
            (_, HandoverEvent::Closed) => (Self::Kept, None),
            (_, HandoverEvent::Frame(_) | HandoverEvent::Deadline) => {
                (Self::Kept, Some(Frame::Cancel))
            }
        };
        *self = next;
        answer
    }

    /// Its turn has come. Only one successor at a time has an offer: any that has one may serve.
    pub(crate) fn offer(&mut self) -> Option<Frame> {
        (*self == Self::Asked).then(|| {
            *self = Self::Offered;
            Frame::Offer
        })
    }

    pub(crate) fn has_offer(self) -> bool {
        matches!(self, Self::Offered | Self::Promised)
    }
}

/// The side that serves in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Successor {
    Asked,
    /// We have the fds and look at them.
    Offered,
    /// We may serve whenever we like, as long as the predecessor listens to us.
    Ready,
    /// It does not, and we wait to hear why.
    Refused,
    Serving,
    /// It came to nothing.
    Without(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The predecessor has ended, before we had anything of it.
    Ended,
    Cancelled,
    /// Our user may not have it.
    Denied,
    TimedOut,
    /// It does not keep to the protocol.
    Broken,
}

impl Successor {
    /// The first word is said by [`Successor::Asked`]: `Hello`.
    pub(crate) fn on(&mut self, event: HandoverEvent) {
        *self = match (*self, event) {
            (Self::Asked, HandoverEvent::Frame(Frame::Offer)) => Self::Offered,
            (Self::Asked, HandoverEvent::Frame(Frame::Denied)) => Self::Without(Reason::Denied),
            (Self::Asked, HandoverEvent::Closed) => Self::Without(Reason::Ended),
            // It has died, and nobody else has the fds.
            (Self::Refused, HandoverEvent::Closed) => Self::Serving,
            (Self::Asked | Self::Refused, HandoverEvent::Frame(Frame::Cancel)) => {
                Self::Without(Reason::Cancelled)
            }
            (Self::Asked | Self::Refused, HandoverEvent::Deadline) => {
                Self::Without(Reason::TimedOut)
            }
            (Self::Asked | Self::Refused, HandoverEvent::Frame(_)) => Self::Without(Reason::Broken),
            // Nothing is read then.
            (other, _) => other,
        };
    }

    /// The fds are the right ones, and all that can fail is done. Where that cannot be sent
    /// the predecessor does not expect us.
    pub(crate) fn verified(&mut self, send: impl FnOnce(Frame) -> bool) {
        if *self == Self::Offered {
            *self = match send(Frame::Ready) {
                true => Self::Ready,
                false => Self::Refused,
            };
        }
    }

    /// What makes the path ours, if it can be sent.
    pub(crate) fn serve(&mut self, send: impl FnOnce(Frame) -> bool) {
        if *self == Self::Ready {
            *self = match send(Frame::Serving) {
                true => Self::Serving,
                false => Self::Refused,
            };
        }
    }
}

#[cfg(test)]
mod tests;
