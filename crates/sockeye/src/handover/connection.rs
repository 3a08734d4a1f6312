//! [`ControlConnection`]: the connection between predecessor and successor, frame by frame.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::time::Instant;

use super::frame::{Frame, SIZE};
use super::machine::HandoverEvent;
use crate::ancillary::{Received, RecvError, recvmsg_once, sendmsg_once};
use crate::packet::SeqPacket;
use crate::socket;

pub(crate) struct ControlConnection {
    socket: SeqPacket,
    /// The deadline for the next frame.
    deadline: Option<Instant>,
}

impl ControlConnection {
    pub(crate) fn new(socket: SeqPacket) -> Self {
        let deadline = None;
        Self { socket, deadline }
    }

    /// `None`: no deadline.
    pub(crate) fn wait_until(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    pub(crate) fn wait_at_most_until(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |now| now.min(deadline)));
    }

    /// Sends a frame without waiting: the buffer has room for all frames of a takeover. `false` where
    /// the other side reads no more; what it said before can still be read.
    pub(crate) fn say(&self, frame: Frame, descriptors: &[BorrowedFd<'_>]) -> bool {
        self.try_to_say(frame, descriptors).is_ok()
    }

    /// As [`Self::say`]; `BrokenPipe` where the other side reads no more.
    pub(crate) fn try_to_say(
        &self,
        frame: Frame,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT;
        let frame = frame.encode();
        sendmsg_once(self.socket.as_fd(), &frame, descriptors, None, flags)?;
        Ok(())
    }

    /// Waits for the next event, and returns the fds that came with it.
    ///
    /// # Errors
    /// Where fds that came could not be taken.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn event(&self) -> io::Result<(HandoverEvent, Vec<OwnedFd>)> {
        let mut buffer = [0; SIZE];
        loop {
            let received = self.socket.recv_msg(&mut buffer);
            let received = match self.deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, received).await,
                None => Ok(received.await),
            };
            return match received {
                Ok(Err(RecvError::Io(error))) if is_reset(&error) => continue,
                Ok(received) => understood(received, &buffer),
                Err(_) => self.last_look(),
            };
        }
    }

    /// Whether the other side is there and has sent nothing.
    pub(crate) fn has_heard_nothing(&self) -> bool {
        matches!(socket::is_readable(self.socket.as_fd()), Ok(false))
    }

    /// Shuts down the reading side: what the other side sends from now on fails there. What it has sent
    /// before is returned, one event with each call.
    pub(crate) fn last_look(&self) -> io::Result<(HandoverEvent, Vec<OwnedFd>)> {
        let _ = self.socket.shutdown(Shutdown::Read);
        let mut buffer = [0; SIZE];
        let mut receive = || recvmsg_once(self.socket.as_fd(), &mut buffer, RecvFlags::DONTWAIT);
        let received = match receive() {
            Err(RecvError::Io(error)) if is_reset(&error) => receive(),
            received => received,
        };
        match understood(received, &buffer)? {
            // Our own shutdown looks like this, too; both directions are down if the peer has closed.
            (HandoverEvent::Closed, _) if !has_hung_up(self.socket.as_fd()) => {
                Ok((HandoverEvent::Deadline, Vec::new()))
            }
            event => Ok(event),
        }
    }
}

impl AsFd for ControlConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn understood(
    received: Result<Option<Received>, RecvError>,
    buffer: &[u8],
) -> io::Result<(HandoverEvent, Vec<OwnedFd>)> {
    match received {
        Ok(Some(received)) => {
            let frame = Frame::decode(&buffer[..received.bytes]);
            Ok((HandoverEvent::Frame(frame), received.descriptors))
        }
        Err(RecvError::TooLong { .. }) => Ok((HandoverEvent::Frame(Frame::Unknown), Vec::new())),
        Err(error @ (RecvError::DescriptorsLost | RecvError::TooManyDescriptors)) => {
            Err(error.into())
        }
        Ok(None) | Err(_) => Ok((HandoverEvent::Closed, Vec::new())),
    }
}

/// Whether the other side has closed with our frames unread. The kernel reports that first and once;
/// what the other side sent before can still be read.
fn is_reset(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionReset
}

fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut state = [PollFd::new(&socket, PollFlags::empty())];
    let now = Timespec::default();
    // A signal interrupts even a poll(2) that does not wait.
    retry_on_intr(|| poll(&mut state, Some(&now))).is_ok()
        && state[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::super::STEP;
    use super::*;

    /// Jumps to the deadline, since nothing else is to be done.
    async fn event_at_the_deadline(connection: &ControlConnection) -> HandoverEvent {
        connection.event().await.unwrap().0
    }

    fn pair() -> (ControlConnection, ControlConnection) {
        let (left, right) = SeqPacket::pair().unwrap();
        (ControlConnection::new(left), ControlConnection::new(right))
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_tells_silence_death_and_a_late_frame_apart() {
        let (mut silent, other) = pair();
        silent.wait_until(Some(Instant::now() + STEP));
        assert_eq!(
            event_at_the_deadline(&silent).await,
            HandoverEvent::Deadline
        );
        // Too late: it is not taken for something that was seen.
        assert!(!other.say(Frame::Serving, &[]));

        let (left, late) = pair();
        assert!(late.say(Frame::Ready, &[]));
        assert!(late.say(Frame::Serving, &[]));
        assert_eq!(
            left.last_look().unwrap().0,
            HandoverEvent::Frame(Frame::Ready)
        );
        assert!(!late.say(Frame::Cancel, &[]));
        assert_eq!(
            left.last_look().unwrap().0,
            HandoverEvent::Frame(Frame::Serving)
        );
        assert_eq!(left.last_look().unwrap().0, HandoverEvent::Deadline);
        drop(late);
        assert_eq!(left.last_look().unwrap().0, HandoverEvent::Closed);

        let (left, dead) = pair();
        drop(dead);
        assert_eq!(left.last_look().unwrap().0, HandoverEvent::Closed);
    }

    #[tokio::test]
    async fn the_last_frame_is_read_though_ours_was_not() {
        for looks in [true, false] {
            let (left, right) = pair();
            assert!(left.say(Frame::Ready, &[]));
            assert!(right.say(Frame::Cancel, &[]));
            drop(right);
            assert!(!left.say(Frame::Serving, &[]), "nobody reads it");
            let heard = if looks {
                left.last_look()
            } else {
                left.event().await
            };
            assert_eq!(heard.unwrap().0, HandoverEvent::Frame(Frame::Cancel));
            assert_eq!(left.event().await.unwrap().0, HandoverEvent::Closed);
        }
    }

    #[tokio::test]
    async fn a_record_that_is_not_a_frame_is_unknown() {
        let (left, right) = pair();
        for record in [&b""[..], b"x", b"xyz", &[7; 4096]] {
            right.socket.send(record).await.unwrap();
            assert_eq!(
                left.event().await.unwrap().0,
                HandoverEvent::Frame(Frame::Unknown)
            );
        }
    }
}
