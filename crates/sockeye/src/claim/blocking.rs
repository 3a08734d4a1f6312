//! [`BlockingListener`]: a claimed stream socket for servers without a runtime.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Weak};

#[cfg(feature = "tokio")]
use rustix::event::{EventfdFlags, eventfd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::{Shutdown, shutdown};

use super::ownership::Ownership;

/// A blocking listener that owns its address; dropping it releases the address.
#[doc(alias = "UnixListener")]
#[must_use = "dropping it releases the address"]
pub struct BlockingListener {
    // Dropped in this order: the path is given up before the socket closes.
    ownership: Option<Ownership>,
    listener: Arc<UnixListener>,
    /// Of an adopted socket: readable once it is to stop, since others may listen on the socket.
    stop: Option<Arc<OwnedFd>>,
}

impl BlockingListener {
    pub(crate) fn new(ownership: Option<Ownership>, socket: OwnedFd) -> Self {
        Self {
            ownership,
            listener: Arc::new(socket.into()),
            stop: None,
        }
    }

    /// Of a socket that other processes may listen on.
    #[cfg(feature = "tokio")]
    pub(crate) fn adopted(socket: OwnedFd) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self {
            stop: Some(Arc::new(stop)),
            ..Self::new(None, socket)
        })
    }

    /// The connections, until [`StopHandle::stop`]; several threads may have one each. After the stop,
    /// the connections that are in the backlog still come; those of an adopted listener are left to
    /// its other owners.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use sockeye::{Address, Claim};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let address = Address::from_path(dir.path().join("app.sock"))?;
    /// let listener = Claim::options().claim(&address)?.into_blocking()?;
    /// let stop = listener.stop_handle();
    /// let server = std::thread::spawn(move || listener.incoming().count());
    /// let _client = UnixStream::connect(dir.path().join("app.sock"))?;
    /// stop.stop();
    /// assert_eq!(server.join().unwrap(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn incoming(&self) -> BlockingIncoming<'_> {
        BlockingIncoming {
            listener: self,
            has_ended: false,
        }
    }

    /// Ends [`incoming`](Self::incoming) from another thread.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(match &self.stop {
            None => StopWay::Shutdown(Arc::downgrade(&self.listener)),
            Some(stop) => StopWay::Event(Arc::clone(stop)),
        })
    }

    /// The listener of the standard library, if it owns no path: adopted or abstract.
    ///
    /// # Errors
    /// Returns itself where it owns a path, whose file nothing else would remove.
    pub fn into_std(self) -> Result<UnixListener, Box<Self>> {
        if self.ownership.is_some() {
            return Err(Box::new(self));
        }
        // A StopHandle may be at work with it.
        Arc::try_unwrap(self.listener).or_else(|listener| {
            listener.try_clone().map_err(|_| {
                Box::new(Self {
                    ownership: None,
                    listener,
                    stop: self.stop,
                })
            })
        })
    }

    /// Waits until an adopted socket is readable. `false` where it is to stop.
    fn wait(&self, stop: &OwnedFd) -> io::Result<bool> {
        let mut state = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(&*self.listener, PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut state, None))?;
        Ok(state[0].revents().is_empty())
    }
}

/// The connections of a [`BlockingListener`].
#[derive(Debug)]
#[must_use = "it accepts nothing unless it is iterated"]
pub struct BlockingIncoming<'a> {
    listener: &'a BlockingListener,
    has_ended: bool,
}

impl Iterator for BlockingIncoming<'_> {
    type Item = io::Result<UnixStream>;

    /// Waits for the next connection. An error of accept(2) is one of that connection, or tells that fds
    /// have run out (`EMFILE`): then wait before the next call.
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        while !self.has_ended {
            if let Some(stop) = &self.listener.stop {
                match self.listener.wait(stop) {
                    Ok(goes_on) => self.has_ended = !goes_on,
                    Err(error) => return Some(Err(error)),
                }
                if self.has_ended {
                    break;
                }
            }
            match self.listener.accept() {
                Ok((stream, _)) => return Some(Ok(stream)),
                // Shut down, and the backlog is empty.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.has_ended = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl FusedIterator for BlockingIncoming<'_> {}

/// Ends [`BlockingListener::incoming`] from another thread; made by [`BlockingListener::stop_handle`].
#[derive(Debug, Clone)]
pub struct StopHandle(StopWay);

#[derive(Debug, Clone)]
enum StopWay {
    /// It holds no fd, so that a socket whose listener is dropped is closed.
    Shutdown(Weak<UnixListener>),
    Event(Arc<OwnedFd>),
}

impl StopHandle {
    /// Ends each [`incoming`](BlockingListener::incoming) once it has returned the connections that are
    /// in the backlog. New clients are refused from now on. The socket file is removed when the listener
    /// is dropped; after that this does nothing.
    ///
    /// An adopted listener is left to its other owners: new clients are not refused, and a thread that
    /// waits in `incoming` ends at once. One that has just woken for a connection which another process
    /// accepts first ends at the next connection.
    #[doc(alias = "shutdown")]
    pub fn stop(&self) {
        match &self.0 {
            StopWay::Shutdown(listener) => {
                if let Some(listener) = listener.upgrade() {
                    // It fails on no socket that listens.
                    let _ = shutdown(&*listener, Shutdown::Read);
                }
            }
            StopWay::Event(stop) => {
                // It fails where the counter is full, and then it is readable, too.
                let _ = rustix::io::write(stop, &1_u64.to_ne_bytes());
            }
        }
    }
}

impl Deref for BlockingListener {
    type Target = UnixListener;

    fn deref(&self) -> &UnixListener {
        &self.listener
    }
}

impl AsFd for BlockingListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(BlockingListener);

impl fmt::Debug for BlockingListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingListener")
            .field(&self.listener)
            .finish()
    }
}
