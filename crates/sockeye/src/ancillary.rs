//! Ancillary data: fd passing (`SCM_RIGHTS`) and credentials (`SCM_CREDENTIALS`) with a message
//! (unix(7), cmsg(3)).
//!
//! The functions here take any UNIX socket and block if it is blocking. The asynchronous types have
//! methods of the same names.
//!
//! ```
//! use std::os::fd::AsFd;
//! use std::os::unix::net::UnixStream;
//! use sockeye::ancillary::{recv_msg, send_msg};
//!
//! let (left, right) = UnixStream::pair()?;
//! let file = std::fs::File::open("/dev/null")?;
//! send_msg(&left, b"here it is", &[file.as_fd()])?;
//! let mut buffer = [0; 64];
//! let received = recv_msg(&right, &mut buffer)?.expect("not at the end");
//! assert_eq!(&buffer[..received.bytes], b"here it is");
//! assert_eq!(received.descriptors.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod send;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, sockopt};

pub(crate) use send::sendmsg_once;
#[cfg(feature = "tokio")]
#[allow(unused_imports, reason = "the relay sends credentials on")]
pub(crate) use send::{may_send_credentials, sendmsg_as};

pub use crate::closing::{close_in_background, unclosed};
use crate::ids;
use crate::peer::Peer;
use crate::sys;
pub use crate::sys::message::MAX_DESCRIPTORS;
use crate::sys::message::RawMessage;

/// A message with its ancillary data, from one recvmsg(2).
#[derive(Debug)]
#[doc(alias = "SCM_RIGHTS")]
#[doc(alias = "SCM_CREDENTIALS")]
#[non_exhaustive]
pub struct Received {
    /// How many bytes of the buffer were filled. A record may have none.
    pub bytes: usize,
    /// The fds that were passed with it, close-on-exec. On a stream they belong to the last of the
    /// bytes: a read ends behind a write that had fds, but may begin with earlier writes.
    pub descriptors: Vec<OwnedFd>,
    /// The credentials of its sender, if [`pass_credentials`] is on.
    pub credentials: Option<Peer>,
    /// A pidfd of its sender, if [`pass_pidfds`] is on and the process was still alive; for
    /// [`peer::groups_of_process`](crate::peer::groups_of_process).
    pub pidfd: Option<OwnedFd>,
    /// The address of a datagram's sender, if it is bound.
    pub sender: Option<SocketAddrUnix>,
}

/// Why nothing was sent.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// More fds than [`MAX_DESCRIPTORS`].
    #[error("{0} descriptors, and a message takes {MAX_DESCRIPTORS}; send several messages")]
    TooManyDescriptors(usize),
    /// A stream carries fds with a byte only; without one they would be lost.
    #[error("descriptors without a byte, and a stream carries them with one; send a byte")]
    NoBytes,
    /// The receiver refuses fds (`SO_PASSRIGHTS`, Linux 6.16; see [`pass_descriptors`]).
    #[error("the receiver refuses file descriptors; send without any, or have it accept them")]
    DescriptorsRefused,
    /// The kernel does not let this process send these credentials (unix(7), `EPERM`).
    #[error("the credentials of others may not be sent; run as root (CAP_SETUID, CAP_SETGID)")]
    CredentialsRefused,
    /// The record is larger than the kernel takes at once.
    #[error(
        "a record of {size} bytes, and the socket's send buffer has {buffer}; send less, or raise SO_SNDBUF, which net.core.wmem_max limits"
    )]
    TooLong {
        /// The size of the record in bytes.
        size: usize,
        /// `SO_SNDBUF` in bytes. The kernel needs a little of it itself.
        buffer: usize,
    },
    /// A system call failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

crate::error_debug::debug_as_display!(SendError);

/// Why nothing was received.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// A record is larger than the buffer. The kernel has discarded the rest of it.
    #[error("a record of {size} bytes, and there is room for {limit}")]
    TooLong {
        /// The size of the record in bytes.
        size: usize,
        /// The size of the buffer in bytes.
        limit: usize,
    },
    /// Not all fds of the message could be received (`MSG_CTRUNC`), most likely for `RLIMIT_NOFILE`.
    /// Those that could were closed. A connection of a server leaves the whole message unread, since
    /// the kernel would close the others while the event loop waits.
    #[error("not all descriptors of a message could be taken; raise the limit (ulimit -n)")]
    DescriptorsLost,
    /// More fds than [`MAX_DESCRIPTORS`] for one message of a stream that came in several reads.
    #[error("more than {MAX_DESCRIPTORS} descriptors with one message; send several messages")]
    TooManyDescriptors,
    /// Too many received fds are still being closed ([`close_in_background`]). The message was left
    /// unread.
    #[error("descriptors that came before are still being closed, and no more are taken meanwhile")]
    StillClosing,
    /// A system call failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

crate::error_debug::debug_as_display!(RecvError);

#[cfg(feature = "tokio")]
impl SendError {
    /// Separates `EAGAIN`, which is for the runtime, from what is for the caller.
    pub(crate) fn split_would_block<T>(result: Result<T, Self>) -> io::Result<Result<T, Self>> {
        match result {
            Err(Self::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            other => Ok(other),
        }
    }
}

#[cfg(feature = "tokio")]
impl RecvError {
    /// As [`SendError::split_would_block`].
    pub(crate) fn split_would_block<T>(result: Result<T, Self>) -> io::Result<Result<T, Self>> {
        match result {
            Err(Self::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            other => Ok(other),
        }
    }
}

impl From<Errno> for SendError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<Errno> for RecvError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidInput, other),
        }
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Sends `bytes` and duplicates of the fds in `descriptors` (`SCM_RIGHTS`) to the peer of a connected
/// socket: all bytes of a stream, or one record.
///
/// # Errors
/// [`SendError`]; nothing was sent then. A stream may have sent a part if the connection broke in
/// between, if it is non-blocking, or if it has `SO_SNDTIMEO`.
#[doc(alias = "SCM_RIGHTS")]
pub fn send_msg(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    let socket = socket.as_fd();
    let mut rest = bytes;
    let mut descriptors = descriptors;
    loop {
        match sendmsg_once(socket, rest, descriptors, None, SendFlags::empty()) {
            Ok(count) if count == rest.len() => return Ok(()),
            Ok(count) => {
                // They went with the first byte.
                descriptors = &[];
                rest = &rest[count..];
            }
            Err(SendError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives into `buffer`, with ancillary data: the queued bytes of a stream, or one record. `None`
/// at EOF, and from a stream if `buffer` is empty. Only on a socket that a type of this crate has
/// made or adopted does an empty record differ from EOF.
///
/// # Errors
/// [`RecvError`]. A record that does not fit is lost, with its fds.
#[doc(alias = "SCM_RIGHTS")]
#[doc(alias = "SCM_CREDENTIALS")]
pub fn recv_msg(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
    let socket = socket.as_fd();
    loop {
        match recvmsg_once(socket, buffer, RecvFlags::empty()) {
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Turns credentials of each message on or off (`SO_PASSCRED`, unix(7)). Messages that are queued
/// already may come without. If `socket` is unbound, connecting or sending binds it to an abstract
/// name.
///
/// # Errors
/// As setsockopt(2).
#[doc(alias = "SO_PASSCRED")]
#[doc(alias = "SCM_CREDENTIALS")]
pub fn pass_credentials(socket: impl AsFd, on: bool) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, on)?)
}

/// Has the kernel accept fds that peers pass to `socket` (the default), or refuse them: the peer's
/// sendmsg(2) then fails with `EPERM` (`SO_PASSRIGHTS`). An accepted socket inherits the setting that
/// its listener had when the client connected. Returns `false` before Linux 6.16, which cannot refuse
/// any.
///
/// Refuse fds that are not wanted: otherwise the kernel closes them in the receiving thread, and that
/// takes as long as the sender wishes (a TCP socket with `SO_LINGER`, a file on a FUSE that hangs).
///
/// # Errors
/// As setsockopt(2).
#[doc(alias = "SO_PASSRIGHTS")]
pub fn pass_descriptors(socket: impl AsFd, on: bool) -> io::Result<bool> {
    Ok(sys::socket::set_pass_rights(socket.as_fd(), on)?)
}

/// Whether peers may pass fds to `socket` (`SO_PASSRIGHTS`); also `true` before Linux 6.16, which cannot
/// refuse any.
///
/// # Errors
/// As getsockopt(2).
#[doc(alias = "SO_PASSRIGHTS")]
pub fn passes_descriptors(socket: impl AsFd) -> io::Result<bool> {
    Ok(sys::socket::pass_rights(socket.as_fd())?.unwrap_or(true))
}

/// Turns a pidfd of the sender with each message on or off (`SO_PASSPIDFD`, Linux 6.5).
///
/// # Errors
/// As setsockopt(2); `ENOPROTOOPT` before Linux 6.5.
#[doc(alias = "SO_PASSPIDFD")]
pub fn pass_pidfds(socket: impl AsFd, on: bool) -> io::Result<()> {
    sys::message::pass_pidfds(socket.as_fd(), on)
}

/// One recvmsg(2).
pub(crate) fn recvmsg_once(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Option<Received>, RecvError> {
    let message = sys::message::recvmsg(socket, buffer, flags)?;
    Received::from_raw(message, buffer.len())
}

impl Received {
    /// From what recvmsg(2) has filled in, for a buffer of `limit` bytes; `None` at EOF.
    pub(crate) fn from_raw(message: RawMessage, limit: usize) -> Result<Option<Self>, RecvError> {
        if message.length > limit {
            let size = message.length;
            close_in_background(message.descriptors);
            return Err(RecvError::TooLong { size, limit });
        }
        if message.is_control_truncated {
            close_in_background(message.descriptors);
            return Err(RecvError::DescriptorsLost);
        }
        if message.length == 0 && !message.is_record && message.descriptors.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            bytes: message.length,
            descriptors: message.descriptors,
            credentials: message
                .credentials
                .filter(is_known)
                .and_then(Peer::from_credentials),
            pidfd: message.pidfd,
            sender: message.sender,
        }))
    }
}

/// A message that was sent before `SO_PASSCRED` was on comes with pid 0 and the overflow ids.
fn is_known(found: &libc::ucred) -> bool {
    found.pid != 0 || !ids::are_overflow(found.uid, found.gid)
}
