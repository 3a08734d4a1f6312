//! One stream in one direction, as fast as it goes: one thread sends, another receives.

use crate::client::{self, PATIENCE};
use crate::interrupt::Interrupt;
use anyhow::{Context, bail, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{SendFlags, Shutdown, shutdown};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Bytes in one send(2), and room for one recv(2).
const BLOCK_SIZE: usize = 256 * 1024;

const MIB: usize = 1024 * 1024;

/// The last byte of a run; no other byte is the same.
const LAST: u8 = u8::MAX;

/// Nothing is in flight before and after a run.
pub(crate) struct StreamLoad<'a> {
    sender: OwnedFd,
    receiver: OwnedFd,
    /// What is sent over and over.
    block: Box<[u8]>,
    received: Box<[u8]>,
    interrupt: &'a Interrupt,
}

impl<'a> StreamLoad<'a> {
    pub(crate) fn new(
        sender: OwnedFd,
        receiver: OwnedFd,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        set_socket_timeout(&sender, Timeout::Send, Some(PATIENCE))?;
        set_socket_timeout(&receiver, Timeout::Recv, Some(PATIENCE))?;
        // The bytes at both ends of what one recv(2) takes tell where in the block it is.
        let block =
            (0..BLOCK_SIZE).map(|index| (index.wrapping_mul(0x9E37_79B1) >> 16) as u8 % LAST);
        Ok(Self {
            sender,
            receiver,
            block: block.collect(),
            received: vec![0; BLOCK_SIZE].into(),
            interrupt,
        })
    }

    /// Sends until the time is over, and returns the number of MiB once all of them have arrived.
    pub(crate) fn run_for(&mut self, duration: Duration) -> anyhow::Result<u64> {
        let Self {
            sender,
            receiver,
            block,
            received,
            interrupt,
        } = self;
        // Whoever fails wakes the other, which would wait for room or for the rest.
        let (sender, receiver) = (&*sender, &*receiver);
        let end = || {
            let _ = shutdown(sender, Shutdown::Both);
            let _ = shutdown(receiver, Shutdown::Both);
        };
        std::thread::scope(|scope| {
            let arrived = scope.spawn(|| receive(receiver, received, block).inspect_err(|_| end()));
            let sent = send(sender, block, duration, interrupt).inspect_err(|_| end());
            let Ok(arrived) = arrived.join() else {
                bail!("the receiver panicked")
            };
            // What was received says more about a failure than that no more could be sent.
            let (arrived, sent) = (arrived?, sent?);
            ensure!(sent == arrived, "of {sent} bytes {arrived} arrived");
            Ok((sent / MIB) as u64)
        })
    }
}

/// Returns the number of bytes, whole MiB.
fn send(
    stream: &OwnedFd,
    block: &[u8],
    duration: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<usize> {
    let end = Instant::now() + duration;
    let last = [&block[..BLOCK_SIZE - 1], &[LAST]].concat();
    let mut sent = 0;
    loop {
        interrupt.check()?;
        let is_last = Instant::now() >= end;
        for part in 1..=MIB / BLOCK_SIZE {
            let is_last = is_last && part == MIB / BLOCK_SIZE;
            let mut rest = if is_last { &last } else { block };
            while !rest.is_empty() {
                let count = rustix::net::send(stream, rest, SendFlags::NOSIGNAL);
                rest = &rest[count.context("cannot send")?..];
            }
            sent += BLOCK_SIZE;
        }
        if is_last {
            return Ok(sent);
        }
    }
}

/// Receives up to the last byte of a run; returns the number of bytes.
fn receive(stream: &OwnedFd, buffer: &mut [u8], block: &[u8]) -> anyhow::Result<usize> {
    let mut received = 0;
    loop {
        let count = client::receive(stream, buffer)?;
        let Some(&last) = buffer[..count].last() else {
            bail!("the stream ended after {received} bytes")
        };
        let expected = |offset| block[(received + offset) % BLOCK_SIZE];
        ensure!(
            [expected(0), LAST].contains(&buffer[0]) && [expected(count - 1), LAST].contains(&last),
            "other bytes arrived than were sent"
        );
        received += count;
        if last == LAST {
            return Ok(received);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// Runs twice through a relay that passes on what `change` makes of each piece, and ends with an empty one.
    fn load(change: fn(&mut Vec<u8>)) -> anyhow::Result<u64> {
        let (client, mut from) = UnixStream::pair()?;
        let (mut to, target) = UnixStream::pair()?;
        let relay = std::thread::spawn(move || {
            let mut piece = vec![0; 100_000];
            while let Ok(count @ 1..) = from.read(&mut piece) {
                let mut piece = piece[..count].to_vec();
                change(&mut piece);
                if piece.is_empty() || to.write_all(&piece).is_err() {
                    return;
                }
            }
        });
        let interrupt = Interrupt::default();
        let mut load = StreamLoad::new(client.into(), target.into(), &interrupt)?;
        let first = load.run_for(Duration::from_millis(1));
        let both = first.and_then(|first| Ok(first + load.run_for(Duration::ZERO)?));
        drop(load);
        assert!(relay.join().is_ok());
        both
    }

    #[test]
    fn whole_mib_are_counted() {
        let count = load(|_| {}).unwrap();
        assert!(count >= 2, "{count}");
    }

    #[test]
    fn a_byte_that_has_changed_is_noticed() {
        let error = load(|piece| piece[0] ^= 1).unwrap_err();
        assert!(error.to_string().contains("other bytes"), "{error:#}");
    }

    #[test]
    fn a_stream_that_ends_is_noticed() {
        let error = load(Vec::clear).unwrap_err();
        assert!(error.to_string().contains("ended"), "{error:#}");
    }
}
