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
use rustix::net::SocketAddrUnix;
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
    let mut load = Load::start(server.address(), connections)?;
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
    fn start(address: &SocketAddrUnix, count: usize) -> anyhow::Result<Self> {
        let mut load = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(count),
            events: Vec::with_capacity(count),
        };
        for index in 0..count {
            let stream = client::connect(address).context("cannot connect")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Puts some load on a server that answers each read with what `answer` makes of it.
    fn load(answer: fn(&mut [u8])) -> anyhow::Result<u64> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("s");
        let runtime = tokio::runtime::Runtime::new()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::bind(&path)?
        };
        runtime.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // Pieces, not whole messages: those must be put together.
                    let mut buffer = [0; 40];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        answer(&mut buffer[..n]);
                        if stream.write_all(&buffer[..n]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let mut load = Load::start(&SocketAddrUnix::new(&path)?, 8)?;
        load.run(Duration::from_millis(20), &Stop::default())
    }

    #[test]
    fn answers_are_counted() {
        assert!(load(|_| {}).unwrap() > 0);
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        let error = load(<[u8]>::make_ascii_uppercase).unwrap_err();
        assert!(error.to_string().contains("wrong answer"), "{error:#}");
    }
}
