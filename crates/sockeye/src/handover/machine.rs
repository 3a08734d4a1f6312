//! The state machines of a takeover: who owns the path at which step. No I/O.
//!
//! The predecessor owns the path and serves until the successor has sent `Serving`. What counts is that
//! it was sent, whenever it is read: a predecessor that withdraws its offer shuts down its reading side
//! and reads once more, so `Serving` is either read by then or fails to be sent. Each side has all fds
//! from `Offer` on, so EOF means that the other has died and left them: a predecessor that withdraws
//! its offer says `Cancel` before it closes. One that ends, and can wait no longer for a successor that
//! is ready, leaves the path to it: it closes without `Cancel`, and so looks as if it had died.

use super::frame::Frame;

/// What one side learns. Frames that have arrived come before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandoverEvent {
    Frame(Frame),
    /// The other side has closed or died.
    Closed,
    /// Nothing came by the deadline, and nothing that is sent later will arrive.
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
    /// The takeover failed; the path is still ours.
    Kept,
    HandedOver,
    /// We end, and the successor owns the path when it comes to serve.
    Left,
}

impl Predecessor {
    /// The frame to send. Before `Cancel` our own files must be removed, if they are to be removed.
    pub(crate) fn on(&mut self, event: HandoverEvent) -> Option<Frame> {
        let (next, answer) = match (*self, event) {
            (Self::Connected, HandoverEvent::Frame(Frame::Hello)) => (Self::Asked, None),
            (Self::Offered, HandoverEvent::Frame(Frame::Ready)) => (Self::Promised, None),
            (Self::Promised, HandoverEvent::Frame(Frame::Serving)) => (Self::HandedOver, None),
            (over @ (Self::Kept | Self::HandedOver | Self::Left), _) => (over, None),
            (_, HandoverEvent::Closed) => (Self::Kept, None),
            (_, HandoverEvent::Frame(_) | HandoverEvent::Deadline) => {
                (Self::Kept, Some(Frame::Cancel))
            }
        };
        *self = next;
        answer
    }

    /// As [`Self::on`], where the server ends and reads a last time: a successor that is ready and has
    /// said nothing more gets the path.
    pub(crate) fn leave_on(&mut self, event: HandoverEvent) -> Option<Frame> {
        if (*self, event) == (Self::Promised, HandoverEvent::Deadline) {
            *self = Self::Left;
            return None;
        }
        self.on(event)
    }

    /// Makes the offer. Only one successor at a time has one: any that has one may serve.
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
    /// It reads no more; its last frame says why.
    Refused,
    Serving,
    /// The takeover failed.
    Without(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The predecessor has ended before it passed any fd.
    Ended,
    Cancelled,
    /// Our user may not take it over.
    Denied,
    TimedOut,
    /// It does not keep to the protocol.
    ProtocolViolation,
}

impl Successor {
    /// [`Successor::Asked`] has sent the first frame, `Hello`.
    pub(crate) fn on(&mut self, event: HandoverEvent) {
        *self = match (*self, event) {
            (Self::Asked, HandoverEvent::Frame(Frame::Offer)) => Self::Offered,
            (Self::Asked, HandoverEvent::Frame(Frame::Denied)) => Self::Without(Reason::Denied),
            (Self::Asked, HandoverEvent::Closed) => Self::Without(Reason::Ended),
            // It has died or left the path to us, and nobody else has the fds.
            (Self::Refused, HandoverEvent::Closed) => Self::Serving,
            (Self::Asked | Self::Refused, HandoverEvent::Frame(Frame::Cancel)) => {
                Self::Without(Reason::Cancelled)
            }
            (Self::Asked | Self::Refused, HandoverEvent::Deadline) => {
                Self::Without(Reason::TimedOut)
            }
            (Self::Asked | Self::Refused, HandoverEvent::Frame(_)) => {
                Self::Without(Reason::ProtocolViolation)
            }
            // Nothing is read then.
            (other, _) => other,
        };
    }

    /// The fds are the right ones, and all that can fail is done. Where `Ready` cannot be sent, the
    /// predecessor has withdrawn its offer.
    pub(crate) fn verified(&mut self, send: impl FnOnce(Frame) -> bool) {
        if *self == Self::Offered {
            *self = if send(Frame::Ready) {
                Self::Ready
            } else {
                Self::Refused
            };
        }
    }

    /// We are to stop before we serve, and ask what has become of the predecessor.
    pub(crate) fn stop(&mut self) {
        if *self == Self::Ready {
            *self = Self::Refused;
        }
    }

    /// Sends the frame that makes the path ours, if it can be sent.
    pub(crate) fn serve(&mut self, send: impl FnOnce(Frame) -> bool) {
        if *self == Self::Ready {
            *self = if send(Frame::Serving) {
                Self::Serving
            } else {
                Self::Refused
            };
        }
    }
}

#[cfg(test)]
mod tests;
