//! [`AnswerRoom`]: shares the send buffer of the listening socket among the clients.
//!
//! All answers are sent from that one socket, and the kernel counts those that a client has not read
//! against its buffer. It does not look at the queue's length of a client that is connected to us, so one
//! that never reads would take the whole buffer, and the answers to all others would wait.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::net::SocketAddrUnix;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};

use crate::address::Kind;
use crate::ancillary::MAX_DESCRIPTORS;
use crate::inspect::diag;
use crate::sys;

/// The buffer that is asked for; the kernel doubles it, and `net.core.wmem_max` limits it.
const BUFFER: usize = 1 << 20;
/// When half of the buffer is taken, a client may have this part of what is free.
const SHARE: usize = 4;
/// How many fds one receiver may leave unread: those of all count against one limit (unix(7),
/// `ETOOMANYREFS`).
pub(super) const MOST_IN_FLIGHT: usize = 4 * MAX_DESCRIPTORS;
/// How often the kernel's table is read at most, in milliseconds.
const INTERVAL: u64 = 100;
/// The time between two reads of the table is so many times that of one.
const REST: u64 = 20;
const LONGEST_REST: u64 = 1000;

#[derive(Debug)]
pub(super) struct AnswerRoom {
    buffer: usize,
    /// At least so much of it is taken: unread by clients.
    unread: AtomicUsize,
    queues: Mutex<ClientQueues>,
}

/// Which clients have something to read.
#[derive(Debug, Default)]
struct ClientQueues {
    /// By the names that they are bound to.
    is_empty: HashMap<Vec<u8>, bool>,
    /// When the kernel's table was read, in milliseconds since the relay began.
    read: u64,
    /// When it may be read again.
    next: u64,
}

/// What one client has not read, as far as is known; it may be less.
#[derive(Debug, Default)]
pub(super) struct ClientShare {
    unread: usize,
    /// Fds in flight.
    fds: usize,
    /// When the last answer was sent to it, in milliseconds since the relay began.
    last: u64,
}

impl AnswerRoom {
    pub(super) fn new(listening: BorrowedFd<'_>) -> Self {
        let size = || socket_send_buffer_size(listening).unwrap_or_default();
        if size() < BUFFER {
            let _ = set_socket_send_buffer_size(listening, BUFFER);
        }
        Self {
            buffer: size(),
            unread: AtomicUsize::new(0),
            queues: Mutex::default(),
        }
    }

    /// Whether an answer may be sent to a client without taking the room of others. While less than half
    /// of the buffer is taken that costs no system call.
    pub(super) fn allows(
        &self,
        share: &mut ClientShare,
        (bytes, fds): (usize, usize),
        listening: BorrowedFd<'_>,
        client: &SocketAddrUnix,
        now: impl Fn() -> u64,
    ) -> bool {
        let memory = memory_of(bytes);
        let has_many_fds = fds > 0 && share.fds + fds > MOST_IN_FLIGHT;
        if !has_many_fds && self.unread.load(Ordering::Relaxed) + memory <= self.buffer / 2 {
            return true;
        }
        let Ok(unread) = sys::socket::unread_by_peer(listening) else {
            return true;
        };
        let unread = unread as usize;
        self.unread.store(unread, Ordering::Relaxed);
        share.unread = share.unread.min(unread);
        if share.unread == 0 {
            share.fds = 0;
            return true;
        }
        let free = self.buffer.saturating_sub(unread);
        let has_room = unread + memory <= self.buffer / 2 || share.unread + memory <= free / SHARE;
        has_room && !has_many_fds || self.has_read_all(share, client, now())
    }

    /// Notes an answer that was sent.
    pub(super) fn sent(&self, share: &mut ClientShare, (bytes, fds): (usize, usize), now: u64) {
        let memory = memory_of(bytes);
        self.unread.fetch_add(memory, Ordering::Relaxed);
        share.unread += memory;
        share.fds += fds;
        share.last = now;
    }

    /// Asks the kernel's table whether a client has read all its answers. It shows the clients in our
    /// network namespace only; of others that is not known.
    fn has_read_all(&self, share: &mut ClientShare, client: &SocketAddrUnix, now: u64) -> bool {
        // Nothing under the lock panics half-way.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= queues.next {
            queues.read_table(now);
        }
        let has_read =
            queues.read > share.last && queues.is_empty.get(&name(client)) == Some(&true);
        if has_read {
            (share.unread, share.fds) = (0, 0);
        }
        has_read
    }
}

impl ClientQueues {
    fn read_table(&mut self, now: u64) {
        let began = Instant::now();
        self.is_empty.clear();
        for entry in diag::dump().unwrap_or_default() {
            if let (Kind::Datagram, Some(name)) = (entry.kind, entry.name) {
                let is_empty = entry.recv_queue == Some(0);
                // Several sockets may have had the same path.
                *self.is_empty.entry(name).or_insert(true) &= is_empty;
            }
        }
        self.read = now;
        let rest = began.elapsed().as_millis() as u64 * REST;
        // It may have waited for a processor meanwhile.
        self.next = now + rest.clamp(INTERVAL, LONGEST_REST);
    }
}

/// The name of a client as the kernel's table has it.
fn name(client: &SocketAddrUnix) -> Vec<u8> {
    match client.abstract_name() {
        Some(name) => [&[0], name].concat(),
        None => client.path_bytes().unwrap_or_default().to_vec(),
    }
}

/// About what the kernel counts for a datagram: its buffers are powers of two, and have a header.
fn memory_of(bytes: usize) -> usize {
    (bytes + 320).next_power_of_two() + 256
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{SendFlags, SocketFlags};

    use super::*;

    #[test]
    fn the_memory_of_small_datagrams_is_as_the_kernel_counts_it() {
        let (ours, _theirs) = crate::socket::pair(Kind::Datagram, SocketFlags::empty()).unwrap();
        let mut before = 0;
        for bytes in [0, 1, 100] {
            rustix::net::send(&ours, &vec![0; bytes], SendFlags::empty()).unwrap();
            let now = sys::socket::unread_by_peer(ours.as_fd()).unwrap() as usize;
            assert!(
                memory_of(bytes).abs_diff(now - before) <= 512,
                "{bytes}: {}",
                now - before
            );
            before = now;
        }
    }
}
