//! Room for large records.

use std::os::fd::AsFd;

use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};

/// What the kernel wants of a send buffer besides the bytes of a record.
const OVERHEAD: usize = 32;

/// Sees to it that so many bytes can be sent at once, as far as `net.core.wmem_max` lets us.
pub(super) fn make_room(socket: impl AsFd, bytes: usize) {
    // If that fails, so does the sending, and says why.
    if socket_send_buffer_size(&socket).is_ok_and(|room| room < bytes + OVERHEAD) {
        let _ = set_socket_send_buffer_size(&socket, bytes + OVERHEAD);
    }
}
