//! recvmsg(2) with all ancillary data. rustix's own wrapper skips control messages that it does not
//! know, and an fd in one of those would stay open for good.

#[cfg(feature = "tokio")]
pub(crate) mod peek;

use std::ffi::OsStr;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::net::{RecvFlags, SocketAddrUnix};

/// As many fds as the kernel takes in one message (`SCM_MAX_FD`, unix(7)).
#[doc(alias = "SCM_MAX_FD")]
pub const MAX_DESCRIPTORS: usize = 253;

// Linux 6.5; the libc crate does not have them everywhere.
const SCM_PIDFD: libc::c_int = 4;
pub(super) const SO_PASSPIDFD: libc::c_int = 76;

/// Room for the control messages: 253 fds take 1032 bytes, credentials 32, a pidfd 24, a
/// time 32; the rest is for a security label.
const CONTROL: usize = 2048;

/// What recvmsg(2) has filled in.
#[derive(Debug)]
pub(crate) struct RawMessage {
    /// The length that the kernel says: with `MSG_TRUNC` of a record, that is more than there was
    /// room for.
    pub(crate) length: usize,
    /// `MSG_CTRUNC`: not all fds could be taken.
    pub(crate) is_control_truncated: bool,
    /// Whether any ancillary data came, known or not.
    #[cfg(feature = "tokio")]
    pub(crate) has_control: bool,
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) credentials: Option<libc::ucred>,
    /// The sender's process, where `SO_PASSPIDFD` asks for it and it was still there.
    pub(crate) pidfd: Option<OwnedFd>,
    /// Whether a time came with it, as [`mark_records`] asks for: a stream has none, and neither has
    /// EOF, which may come with credentials.
    pub(crate) is_record: bool,
    /// The address of a datagram's sender, if that is bound.
    pub(crate) sender: Option<SocketAddrUnix>,
}

/// Receives into `buffer`; fds are close-on-exec from the start.
///
/// # Errors
/// As recvmsg(2).
pub(crate) fn recvmsg(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> io::Result<RawMessage> {
    recvmsg_uninit(fd, as_uninit(buffer), flags, CONTROL)
}

/// For recvmsg(2), which writes no uninitialized bytes.
fn as_uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: a u8 has the layout of a MaybeUninit<u8>, and only `recvmsg_uninit` is given it.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}

/// As [`recvmsg`], into the spare capacity of `buffer`, whose length grows by what was received.
///
/// # Errors
/// As recvmsg(2).
#[cfg(feature = "tokio")]
pub(crate) fn recvmsg_append(
    fd: BorrowedFd<'_>,
    buffer: &mut bytes::BytesMut,
    limit: usize,
    flags: RecvFlags,
) -> io::Result<RawMessage> {
    let room = buffer.spare_capacity_mut();
    let size = room.len().min(limit);
    let message = recvmsg_uninit(fd, &mut room[..size], flags, CONTROL)?;
    let length = buffer.len() + message.length.min(size);
    // SAFETY: the kernel has written the bytes up to there.
    unsafe { buffer.set_len(length) };
    Ok(message)
}

/// What [`recvmsg_bytes`] has received.
#[cfg(feature = "tokio")]
pub(crate) struct ReceivedBytes {
    pub(crate) count: usize,
    /// Nothing more was in the queue. A short read does not prove that: a read ends behind bytes with
    /// fds, which the kernel closes here.
    pub(crate) is_all: bool,
}

/// Receives bytes alone, without waiting: recvmsg(2) without room for control messages.
///
/// # Errors
/// As recvmsg(2).
#[cfg(feature = "tokio")]
pub(crate) fn recvmsg_bytes(
    fd: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
) -> io::Result<ReceivedBytes> {
    let mut bytes = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr is a plain C structure, for which all zeros mean "nothing".
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut bytes;
    header.msg_iovlen = 1;
    // SAFETY: the only pointer in the header is to memory of the length beside it, which outlives
    // the call.
    let count = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let is_control_truncated = header.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(ReceivedBytes {
        count,
        is_all: (1..buffer.len()).contains(&count) && !is_control_truncated,
    })
}

/// As [`recvmsg_bytes_append`], with recv(2), for a socket that gets no control messages: a short read
/// counts as all there was.
///
/// # Errors
/// As recv(2).
#[cfg(feature = "tokio")]
pub(crate) fn recv_bytes_append(
    fd: BorrowedFd<'_>,
    buffer: &mut impl bytes::BufMut,
) -> io::Result<ReceivedBytes> {
    let room = buffer.chunk_mut();
    // SAFETY: nothing there is made uninitialized; the kernel only writes to it.
    let room = unsafe { room.as_uninit_slice_mut() };
    let size = room.len();
    let ((bytes, _), _) = rustix::net::recv(fd, room, RecvFlags::DONTWAIT)?;
    let count = bytes.len();
    // SAFETY: the kernel has written these bytes.
    unsafe { buffer.advance_mut(count) };
    Ok(ReceivedBytes {
        count,
        is_all: (1..size).contains(&count),
    })
}

/// As [`recvmsg_bytes`], into the spare capacity of `buffer`, which grows by what was received.
///
/// # Errors
/// As recvmsg(2).
#[cfg(feature = "tokio")]
pub(crate) fn recvmsg_bytes_append(
    fd: BorrowedFd<'_>,
    buffer: &mut impl bytes::BufMut,
) -> io::Result<ReceivedBytes> {
    let room = buffer.chunk_mut();
    // SAFETY: nothing there is made uninitialized; the kernel only writes to it.
    let received = recvmsg_bytes(fd, unsafe { room.as_uninit_slice_mut() })?;
    // SAFETY: the kernel has written these bytes.
    unsafe { buffer.advance_mut(received.count) };
    Ok(received)
}

/// As [`recvmsg_bytes_append`], but receives fds that come with the bytes: otherwise the kernel would close
/// them within this call, which can block.
///
/// # Errors
/// As recvmsg(2).
#[cfg(feature = "tokio")]
pub(crate) fn recvmsg_bytes_and_fds_append(
    fd: BorrowedFd<'_>,
    buffer: &mut impl bytes::BufMut,
) -> io::Result<(ReceivedBytes, Vec<OwnedFd>)> {
    let room = buffer.chunk_mut();
    // SAFETY: nothing there is made uninitialized; the kernel only writes to it.
    let room = unsafe { room.as_uninit_slice_mut() };
    let size = room.len();
    let message = recvmsg_uninit(fd, room, RecvFlags::DONTWAIT, CONTROL)?;
    let is_alone = !message.has_control && !message.is_control_truncated;
    let bytes = ReceivedBytes {
        count: message.length.min(size),
        is_all: (1..size).contains(&message.length) && is_alone,
    };
    // SAFETY: the kernel has written these bytes.
    unsafe { buffer.advance_mut(bytes.count) };
    Ok((bytes, message.descriptors))
}

/// With so many bytes of room for control messages, [`CONTROL`] at most.
fn recvmsg_uninit(
    fd: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
    room: usize,
) -> io::Result<RawMessage> {
    let mut control =
        [MaybeUninit::<libc::cmsghdr>::uninit(); CONTROL / size_of::<libc::cmsghdr>()];
    let mut name = MaybeUninit::<libc::sockaddr_un>::uninit();
    let mut bytes = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: msghdr is a plain C structure, for which all zeros mean "nothing".
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of_val(&name) as libc::socklen_t;
    header.msg_iov = &raw mut bytes;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = room.min(size_of_val(&control)) as _;
    let flags = flags.bits() as libc::c_int | libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC;
    // On a stream MSG_TRUNC would discard the bytes instead of telling their number (recv(2)), but
    // not on UNIX ones, which do not know it.
    // SAFETY: every pointer in the header is to memory of the length beside it, which outlives the
    // call.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let Ok(length) = usize::try_from(length) else {
        return Err(io::Error::last_os_error());
    };
    let mut message = RawMessage {
        length,
        is_control_truncated: header.msg_flags & libc::MSG_CTRUNC != 0,
        #[cfg(feature = "tokio")]
        has_control: header.msg_controllen > 0,
        descriptors: Vec::new(),
        credentials: None,
        pidfd: None,
        is_record: false,
        sender: None,
    };
    // SAFETY: the header is as the kernel left it after a successful call, and `control` lives.
    unsafe { take_control(&header, &mut message) };
    let name_length = (header.msg_namelen as usize).min(size_of_val(&name));
    // SAFETY: the kernel has written the first `name_length` bytes of `name`.
    let name = unsafe { std::slice::from_raw_parts(name.as_ptr().cast::<u8>(), name_length) };
    message.sender = name
        .get(offset_of!(libc::sockaddr_un, sun_path)..)
        .and_then(address);
    Ok(message)
}

/// Takes over everything in the control messages of `header`.
///
/// # Safety
/// `header` must be what a successful recvmsg(2) has left, with its buffers alive, and must not be
/// given here twice.
unsafe fn take_control(header: &libc::msghdr, message: &mut RawMessage) {
    // SAFETY: as the caller guarantees, msg_control has msg_controllen valid bytes, which the
    // kernel has laid out as the CMSG macros expect.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: the macros return a null pointer or one to a whole header within the buffer.
    while let Some(head) = unsafe { next.as_ref() } {
        // SAFETY: `next` is a header within the buffer. Not through `head`, which may only be used
        // to look at the header itself.
        let data = unsafe { libc::CMSG_DATA(next) };
        // The type of the field differs between C libraries.
        #[allow(clippy::unnecessary_cast)]
        let length = head.cmsg_len as usize - (data as usize - std::ptr::from_ref(head) as usize);
        if head.cmsg_level == libc::SOL_SOCKET {
            match head.cmsg_type {
                libc::SCM_RIGHTS => {
                    let count = length / size_of::<RawFd>();
                    message.descriptors.reserve(count);
                    for at in 0..count {
                        // SAFETY: the kernel has put `count` fds here and has just
                        // installed each for us alone.
                        let fd = unsafe {
                            OwnedFd::from_raw_fd(data.cast::<RawFd>().add(at).read_unaligned())
                        };
                        message.descriptors.push(fd);
                    }
                }
                SCM_PIDFD if length >= size_of::<RawFd>() => {
                    // SAFETY: as above; a negative number stands for a failure.
                    let raw = unsafe { data.cast::<RawFd>().read_unaligned() };
                    if raw >= 0 {
                        // SAFETY: the kernel has just installed it for us alone.
                        message.pidfd = Some(unsafe { OwnedFd::from_raw_fd(raw) });
                    }
                }
                libc::SCM_CREDENTIALS if length >= size_of::<libc::ucred>() => {
                    // SAFETY: the kernel has put a ucred here.
                    let found = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                    message.credentials = Some(found);
                }
                libc::SCM_TIMESTAMPNS => message.is_record = true,
                _ => {}
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; `next` is a header of this buffer.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
}

/// The address in `sun_path`; `None` for an unnamed socket.
fn address(path: &[u8]) -> Option<SocketAddrUnix> {
    match path {
        [] => None,
        [0, name @ ..] => SocketAddrUnix::new_abstract_name(name).ok(),
        _ => {
            let end = path.iter().position(|&byte| byte == 0);
            SocketAddrUnix::new(OsStr::from_bytes(&path[..end.unwrap_or(path.len())])).ok()
        }
    }
}

/// `SO_TIMESTAMPNS`: a control message with each record, so that an empty one differs from
/// EOF. On UNIX sockets it costs a look at the clock; unlike `SO_PASSCRED`, which would tell
/// them apart too, it does not make the kernel bind a client to a name.
///
/// # Errors
/// As setsockopt(2).
pub(crate) fn mark_records(fd: BorrowedFd<'_>) -> io::Result<()> {
    set(fd, libc::SO_TIMESTAMPNS, true)
}

/// `SO_PASSPIDFD`: an fd of the sender's process with each message.
///
/// # Errors
/// As setsockopt(2); `ENOPROTOOPT` before Linux 6.5.
pub(crate) fn pass_pidfds(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set(fd, SO_PASSPIDFD, on)
}

fn set(fd: BorrowedFd<'_>, option: libc::c_int, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: the pointer and the length describe `on`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
