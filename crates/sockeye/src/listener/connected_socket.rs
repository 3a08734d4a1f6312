//! [`ConnectedSocket`]: the sockets that a listener accepts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::address::Kind;
use crate::busy_poll::BusyPoll;
use crate::lazy_async_fd::LazyAsyncFd;
use crate::net_stream::NetStream;
use crate::packet::SeqPacket;
use crate::passing::Passing;
use crate::stream::Stream;

/// What a listener accepts: [`Stream`], [`SeqPacket`] or [`NetStream`].
pub trait ConnectedSocket: AsFd + Sized + Send + 'static + sealed::FromAccepted {
    /// The kind of the UNIX sockets; `None` for TCP and vsock.
    const KIND: Option<Kind>;
}

mod sealed {
    use crate::busy_poll::BusyPoll;
    use crate::lazy_async_fd::LazyAsyncFd;
    use crate::passing::Passing;

    pub trait FromAccepted {
        /// From a new, non-blocking fd that accept(2) has given.
        fn from_accepted(fd: std::os::fd::OwnedFd, passing: Passing) -> std::io::Result<Self>
        where
            Self: Sized;

        fn poll_busily(&mut self, busy: BusyPoll);

        fn passing(&self) -> Passing;

        fn set_passing(&mut self, passing: Passing);

        /// What it waits with.
        fn io(&self) -> &LazyAsyncFd;

        fn into_io(self) -> LazyAsyncFd;
    }
}

impl ConnectedSocket for Stream {
    const KIND: Option<Kind> = Some(Kind::Stream);
}

impl sealed::FromAccepted for Stream {
    fn from_accepted(fd: OwnedFd, passing: Passing) -> io::Result<Self> {
        Ok(Self::from_accepted(fd, passing))
    }

    fn poll_busily(&mut self, busy: BusyPoll) {
        self.set_busy_poll(busy);
    }

    fn passing(&self) -> Passing {
        self.passing()
    }

    fn set_passing(&mut self, passing: Passing) {
        self.set_passing(passing);
    }

    fn io(&self) -> &LazyAsyncFd {
        self.io()
    }

    fn into_io(self) -> LazyAsyncFd {
        self.into_io()
    }
}

impl ConnectedSocket for SeqPacket {
    const KIND: Option<Kind> = Some(Kind::SeqPacket);
}

impl sealed::FromAccepted for SeqPacket {
    fn from_accepted(fd: OwnedFd, passing: Passing) -> io::Result<Self> {
        Self::from_accepted(fd, passing)
    }

    fn poll_busily(&mut self, busy: BusyPoll) {
        self.set_busy_poll(busy);
    }

    fn passing(&self) -> Passing {
        self.passing()
    }

    fn set_passing(&mut self, passing: Passing) {
        self.set_passing(passing);
    }

    fn io(&self) -> &LazyAsyncFd {
        self.io()
    }

    fn into_io(self) -> LazyAsyncFd {
        self.into_io()
    }
}

impl ConnectedSocket for NetStream {
    const KIND: Option<Kind> = None;
}

impl sealed::FromAccepted for NetStream {
    fn from_accepted(fd: OwnedFd, _: Passing) -> io::Result<Self> {
        Ok(Self::from_accepted(fd))
    }

    fn poll_busily(&mut self, busy: BusyPoll) {
        self.set_busy_poll(busy);
    }

    fn passing(&self) -> Passing {
        self.io().passing()
    }

    /// It can receive none.
    fn set_passing(&mut self, _: Passing) {}

    fn io(&self) -> &LazyAsyncFd {
        self.io()
    }

    fn into_io(self) -> LazyAsyncFd {
        self.into_io()
    }
}
