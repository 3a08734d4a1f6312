//! The addresses of vsock(7), which rustix does not have.

use std::mem::zeroed;

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketAddrAny};

/// The address of a vsock socket: a context id and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VsockAddr {
    pub(crate) cid: u32,
    pub(crate) port: u32,
}

impl VsockAddr {
    /// `None` where it is an address of another family.
    pub(crate) fn from_any(any: &SocketAddrAny) -> Option<Self> {
        let is_whole = any.addr_len() as usize >= size_of::<libc::sockaddr_vm>();
        if any.address_family() != AddressFamily::VSOCK || !is_whole {
            return None;
        }
        // SAFETY: as many bytes are initialized, of an address of this family; it may be unaligned.
        let raw: libc::sockaddr_vm =
            unsafe { any.as_ptr().cast::<libc::sockaddr_vm>().read_unaligned() };
        Some(Self {
            cid: raw.svm_cid,
            port: raw.svm_port,
        })
    }
}

// SAFETY: `f` gets a pointer to a `sockaddr_vm`, with its length, which lives until `f` has returned.
unsafe impl SocketAddrArg for VsockAddr {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        // SAFETY: it is made of integers, for which zero is a value.
        let mut raw: libc::sockaddr_vm = unsafe { zeroed() };
        raw.svm_family = libc::AF_VSOCK as libc::sa_family_t;
        raw.svm_cid = self.cid;
        raw.svm_port = self.port;
        let length = size_of::<libc::sockaddr_vm>() as SocketAddrLen;
        f((&raw const raw).cast(), length)
    }
}
