//! Peer credentials: `SO_PEERCRED`, `SO_PEERPIDFD`, `SO_PEERGROUPS`, `SO_PEERSEC` (unix(7), socket(7)).
//!
//! rustix wraps `SO_PEERCRED` with a pid that cannot be 0, which the kernel reports for a peer
//! outside of our pid namespace; the others it does not wrap.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

// Linux 6.5; the libc crate has it for some architectures only.
const SO_PEERPIDFD: libc::c_int = 77;

/// A security label longer than this is refused; SELinux and AppArmor stay far below.
const MAX_LABEL: usize = 64 * 1024;
/// `NGROUPS_MAX` of Linux.
const MAX_GROUPS: usize = 65536;

/// Calls getsockopt(2) on `buffer` and returns how many bytes the kernel says the value has.
///
/// # Errors
/// As getsockopt(2); the second part is the length that the kernel wants on `ERANGE`.
fn get<T: Copy>(
    fd: BorrowedFd<'_>,
    option: libc::c_int,
    buffer: &mut [MaybeUninit<T>],
) -> Result<usize, (io::Error, usize)> {
    let mut length = size_of_val(buffer) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `buffer`, which outlives the call; the kernel
    // writes at most `length` bytes to it.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            buffer.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result == 0 {
        Ok(length as usize)
    } else {
        Err((io::Error::last_os_error(), length as usize))
    }
}

/// `SO_PEERCRED`, as the kernel gives it: pid 0 and uid -1 included.
pub(crate) fn credentials(fd: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut value = [MaybeUninit::<libc::ucred>::uninit()];
    let length = get(fd, libc::SO_PEERCRED, &mut value).map_err(|(error, _)| error)?;
    if length != size_of::<libc::ucred>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the kernel has written all bytes of the value, and any bits make a valid ucred.
    Ok(unsafe { value[0].assume_init() })
}

/// `SO_PEERPIDFD`: an fd of the peer's process, close-on-exec.
pub(crate) fn pidfd(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut value = [MaybeUninit::<RawFd>::uninit()];
    let length = get(fd, SO_PEERPIDFD, &mut value).map_err(|(error, _)| error)?;
    if length != size_of::<RawFd>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the kernel has written all bytes of the value, and any bits make a valid number.
    let raw = unsafe { value[0].assume_init() };
    // SAFETY: on success the kernel has just installed this fd for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// `SO_PEERGROUPS`: the peer's supplementary groups.
pub(crate) fn groups(fd: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut buffer = vec![MaybeUninit::<u32>::uninit(); 32];
    loop {
        match get(fd, libc::SO_PEERGROUPS, &mut buffer) {
            Ok(bytes) => {
                let known = &buffer[..bytes / size_of::<u32>()];
                // SAFETY: the kernel has written these first `bytes` bytes.
                return Ok(known
                    .iter()
                    .map(|gid| unsafe { gid.assume_init() })
                    .collect());
            }
            Err((error, bytes)) => grow(&mut buffer, error, bytes, MAX_GROUPS)?,
        }
    }
}

/// `SO_PEERSEC`: the peer's security label, without a closing NUL.
pub(crate) fn label(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); 256];
    loop {
        match get(fd, libc::SO_PEERSEC, &mut buffer) {
            Ok(bytes) => {
                // SAFETY: the kernel has written these first `bytes` bytes.
                let known = buffer[..bytes]
                    .iter()
                    .map(|byte| unsafe { byte.assume_init() });
                return Ok(known.take_while(|&byte| byte != 0).collect());
            }
            Err((error, bytes)) => grow(&mut buffer, error, bytes, MAX_LABEL)?,
        }
    }
}

/// The name that a socket or its peer is bound to: what follows the family in the address. rustix panics at one of 108 bytes, which the kernel lets a peer have.
///
/// # Errors
/// As getsockname(2) and getpeername(2).
pub(crate) fn name(fd: BorrowedFd<'_>, of_peer: bool) -> io::Result<Vec<u8>> {
    let mut address = MaybeUninit::<libc::sockaddr_un>::uninit();
    let mut length = size_of_val(&address) as libc::socklen_t;
    let get = if of_peer {
        libc::getpeername
    } else {
        libc::getsockname
    };
    // SAFETY: the pointer and the length describe `address`, which outlives the call.
    let result = unsafe { get(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = (length as usize).min(size_of_val(&address));
    // SAFETY: the kernel has written the first `length` bytes.
    let written = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), length) };
    let name = written.get(std::mem::offset_of!(libc::sockaddr_un, sun_path)..);
    Ok(name.unwrap_or_default().to_vec())
}

/// After `ERANGE` makes room for the `bytes` that the kernel wants, up to `most` items.
fn grow<T: Copy>(
    buffer: &mut Vec<MaybeUninit<T>>,
    error: io::Error,
    bytes: usize,
    most: usize,
) -> io::Result<()> {
    let items = bytes.div_ceil(size_of::<T>());
    if error.raw_os_error() != Some(libc::ERANGE) || items <= buffer.len() || items > most {
        return Err(error);
    }
    buffer.resize(items, MaybeUninit::uninit());
    Ok(())
}
