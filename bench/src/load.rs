//! The echo load: many connections, one message in flight on each, from a single thread.
//!
//! Time spent in here is taken from the server, which shares the cores. So the loop is minimal: edge-triggered epoll (a
//! level-triggered set is scanned twice), one read and one write for each message.

use crate::client::{self, AnswerKind, MESSAGE_SIZE, PATIENCE};
use crate::interrupt::Interrupt;
#[cfg(doc)]
use crate::rounds::Harness;
use crate::server::RunningServer;
use anyhow::{Context, bail};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketAddrAny};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Keeps `connections` connections busy, for [`Harness::compare_rates`].
pub(crate) fn on<'a>(
    server: &RunningServer,
    connections: usize,
    interrupt: &'a Interrupt,
) -> anyhow::Result<impl FnMut(&RunningServer, Duration) -> anyhow::Result<u64> + use<'a>> {
    let mut load = EchoLoad::connect(server.address(), connections, interrupt)?;
    Ok(move |_: &RunningServer, time| load.run_for(time))
}

/// The same with requests of HTTP.
pub(crate) fn of_http<'a>(
    server: &RunningServer,
    connections: usize,
    interrupt: &'a Interrupt,
) -> anyhow::Result<impl FnMut(&RunningServer, Duration) -> anyhow::Result<u64> + use<'a>> {
    let mut load = EchoLoad::connect(server.address(), connections, interrupt)?;
    for connection in &mut load.connections {
        let length = client::exchange(&connection.stream, AnswerKind::Http, 0)?;
        connection.expected = LoadAnswer::Http(length);
    }
    Ok(move |_: &RunningServer, time| load.run_for(time))
}

/// No message is in flight before and after a run.
pub(crate) struct EchoLoad<'a> {
    epoll: OwnedFd,
    connections: Vec<LoadConnection>,
    events: Vec<epoll::Event>,
    interrupt: &'a Interrupt,
}

struct LoadConnection {
    stream: OwnedFd,
    expected: LoadAnswer,
    /// How much of the answer has come.
    received: usize,
}

/// What is sent, and what comes back.
enum LoadAnswer {
    Echo([u8; MESSAGE_SIZE]),
    /// An answer of this length.
    Http(usize),
}

impl<'a> EchoLoad<'a> {
    pub(crate) fn connect(
        address: &SocketAddrAny,
        count: usize,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        let mut load = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(count),
            events: Vec::with_capacity(count),
            interrupt,
        };
        for index in 0..count {
            let stream = client::connect(address).context("cannot connect")?;
            epoll::add(
                &load.epoll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
            load.connections.push(LoadConnection {
                stream,
                expected: LoadAnswer::Echo(client::message(index)),
                received: 0,
            });
        }
        Ok(load)
    }

    pub(crate) fn run_for(&mut self, duration: Duration) -> anyhow::Result<u64> {
        let end = Instant::now() + duration;
        self.run(|_| Instant::now() < end, |_| {})
    }

    /// Sends the next message after each answer while `goes_on`, which gets the number of answers; returns that number.
    /// `on_answer` gets the connection before its next message is sent.
    pub(crate) fn run(
        &mut self,
        goes_on: impl Fn(u64) -> bool,
        mut on_answer: impl FnMut(usize),
    ) -> anyhow::Result<u64> {
        let patience = Timespec::try_from(PATIENCE)?;
        for connection in &mut self.connections {
            connection.send()?;
        }
        let mut in_flight = self.connections.len();
        let mut answers = 0;
        while in_flight > 0 {
            self.interrupt.check()?;
            let goes_on = goes_on(answers);
            self.events.clear();
            let room = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(&self.epoll, room, Some(&patience)) {
                Ok(0) => bail!("no connection had an answer within {PATIENCE:?}"),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for answers"),
            }
            for event in &self.events {
                let index = event.data.u64() as usize;
                if !self.connections[index].answered()? {
                    continue;
                }
                answers += 1;
                on_answer(index);
                if goes_on {
                    self.connections[index].send()?;
                } else {
                    in_flight -= 1;
                }
            }
        }
        Ok(answers)
    }
}

impl LoadConnection {
    fn send(&mut self) -> anyhow::Result<()> {
        self.received = 0;
        match &self.expected {
            LoadAnswer::Echo(message) => client::send(&self.stream, message),
            LoadAnswer::Http(_) => client::send(&self.stream, client::HTTP_REQUEST),
        }
    }

    /// Reads what is there; true once the answer is complete. What comes later has an edge of its own, so there is no
    /// need to read until nothing is left.
    fn answered(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 512];
        let length = match &self.expected {
            LoadAnswer::Echo(message) => message.len(),
            LoadAnswer::Http(length) => *length,
        };
        let room = &mut buffer[..length - self.received];
        match rustix::net::recv(&self.stream, room, RecvFlags::DONTWAIT) {
            Ok((0, _)) => bail!("the server closed a connection"),
            Ok((n, _)) => {
                match &self.expected {
                    LoadAnswer::Echo(message) => {
                        let expected = &message[self.received..self.received + n];
                        client::check_answer(&buffer[..n], expected)?;
                    }
                    LoadAnswer::Http(length) if n == *length => {
                        client::check_http_answer(&buffer[..n])?;
                    }
                    // In pieces, as none of the servers sends it.
                    LoadAnswer::Http(_) => {}
                }
                self.received += n;
                Ok(self.received == length)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error).context("cannot read an answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::SocketAddrUnix;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Puts some load on a server that answers each read with what `answer` makes of it.
    fn load(answer: fn(&mut [u8])) -> anyhow::Result<[u64; 8]> {
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
        let interrupt = Interrupt::default();
        let mut load = EchoLoad::connect(&SocketAddrUnix::new(&path)?.into(), 8, &interrupt)?;
        let mut of_each = [0; 8];
        for _ in 0..2 {
            load.run(|answers| answers < 100, |index| of_each[index] += 1)?;
        }
        Ok(of_each)
    }

    #[test]
    fn answers_are_counted() {
        let of_each = load(|_| {}).unwrap();
        let total: u64 = of_each.iter().sum();
        // Those in flight when it is enough come in addition.
        assert!((200..=2 * 115).contains(&total), "{of_each:?}");
        assert!(of_each.iter().all(|&answers| answers >= 2), "{of_each:?}");
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        let error = load(<[u8]>::make_ascii_uppercase).unwrap_err();
        assert!(error.to_string().contains("wrong answer"), "{error:#}");
    }
}
