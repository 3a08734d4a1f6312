//! One message at a time: each is sent once the answer to the one before has come.

use crate::client::{self, MESSAGE_SIZE, PATIENCE};
use crate::contestants::ClientWait;
use crate::interrupt::Interrupt;
use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use sockeye::BusyPoll;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long the client polls; the server's is in its arguments.
const POLLING_TIME: Duration = Duration::from_micros(100);

/// How long each took.
pub(crate) fn round_trips(
    stream: &OwnedFd,
    waiting: ClientWait,
    duration: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Duration>> {
    let message = client::message(0);
    let mut busy_poll = BusyPoll::new(POLLING_TIME);
    let mut times = Vec::new();
    let end = Instant::now() + duration;
    loop {
        interrupt.check()?;
        let mut buffer = [0; MESSAGE_SIZE];
        let sent = Instant::now();
        if sent >= end {
            return Ok(times);
        }
        client::send(stream, &message)?;
        let received = match waiting {
            ClientWait::Asleep => client::receive(stream, &mut buffer)?,
            ClientWait::Spinning => receive_spinning(stream, &mut buffer, sent)?,
            ClientWait::BusyPoll => {
                busy_poll.wait(stream)?;
                client::receive(stream, &mut buffer)?
            }
        };
        times.push(sent.elapsed());
        ensure!(received == MESSAGE_SIZE, "an answer came in pieces");
        client::check_answer(&buffer, &message)?;
    }
}

fn receive_spinning(
    stream: &OwnedFd,
    buffer: &mut [u8; MESSAGE_SIZE],
    since: Instant,
) -> anyhow::Result<usize> {
    loop {
        match rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((n, _)) => return Ok(n),
            Err(Errno::AGAIN) if since.elapsed() < PATIENCE => {}
            Err(Errno::AGAIN) => bail!("no answer within {PATIENCE:?}"),
            Err(error) => return Err(error).context("no answer"),
        }
    }
}
