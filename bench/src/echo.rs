//! The echo load: many connections, one message in flight on each, from a single thread.
//!
//! Whatever time goes by in here is taken from the server, which shares the cores. So the loop is no more than it has to
//! be: `epoll` with edges (a level-triggered set is looked through twice), one read and one write for each message.

use crate::client::{self, MESSAGE_SIZE, PATIENCE};
use crate::meter::{Meter, Sample};
use crate::server::Server;
use crate::stop::Stop;
use anyhow::{Context, bail, ensure};
use rustix::event::{Timespec, epoll};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Time before the meter starts, in which caches, pools and threads come up.
const WARM_UP: Duration = Duration::from_millis(300);

/// Keeps `connections` connections busy for `duration`.
pub(crate) fn measure(
    server: &Server,
    connections: usize,
    duration: Duration,
    stop: &Stop,
) -> anyhow::Result<Sample> {
    let mut load = Load::start(server, connections)?;
    load.run(WARM_UP, stop)?;
    let meter = Meter::start(server.pid())?;
    let messages = load.run(duration, stop)?;
    meter.stop(messages)
}

struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<epoll::Event>,
}

struct Connection {
    stream: UnixStream,
    message: [u8; MESSAGE_SIZE],
    /// How much of the answer has come.
    received: usize,
}

impl Load {
    /// Connects, and sends the first message on every connection.
    fn start(server: &Server, count: usize) -> anyhow::Result<Self> {
        let mut load = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(count),
            events: Vec::with_capacity(count),
        };
        for index in 0..count {
            let stream = client::connect(server.address()).context("cannot connect")?;
            stream.set_nonblocking(true)?;
            epoll::add(
                &load.epoll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
            load.connections.push(Connection {
                stream,
                message: client::message(index),
                received: 0,
            });
        }
        for connection in &mut load.connections {
            connection.send()?;
        }
        Ok(load)
    }

    /// Answers every answer with the next message until the time is over; returns how many answers came.
    fn run(&mut self, duration: Duration, stop: &Stop) -> anyhow::Result<u64> {
        let patience = Timespec::try_from(PATIENCE)?;
        let end = Instant::now() + duration;
        let mut answers = 0;
        while Instant::now() < end {
            stop.check()?;
            self.events.clear();
            let room = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(&self.epoll, room, Some(&patience)) {
                Ok(0) => bail!("no connection had an answer within {PATIENCE:?}"),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for answers"),
            }
            for event in &self.events {
                let index = event.data.u64() as usize;
                if self.connections[index].answered()? {
                    answers += 1;
                    self.connections[index].send()?;
                }
            }
        }
        Ok(answers)
    }
}

impl Connection {
    fn send(&mut self) -> anyhow::Result<()> {
        let sent = self.stream.write(&self.message).context("cannot send")?;
        // One short message into an empty socket: it goes as a whole, or something is very wrong.
        ensure!(sent == MESSAGE_SIZE, "only {sent} bytes were taken");
        self.received = 0;
        Ok(())
    }

    /// Takes what is there; true once the answer is complete. What comes later has an edge of its own, so there is no
    /// need to read until nothing is left.
    fn answered(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; MESSAGE_SIZE];
        let expected = &self.message[self.received..];
        match self.stream.read(&mut buffer[..expected.len()]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(n) => {
                client::check_answer(&buffer[..n], &expected[..n])?;
                self.received += n;
                Ok(self.received == MESSAGE_SIZE)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("cannot read an answer"),
        }
    }
}
