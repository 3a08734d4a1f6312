//! The chat load: some clients say a line each, and once every client has all of them the next ones do.

use crate::client::{self, MESSAGE_SIZE, PATIENCE};
use crate::interrupt::Interrupt;
use anyhow::{Context, bail, ensure};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketAddrAny};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How many clients say a line at once.
const TALKERS: usize = 4;

/// No line is on its way before and after a run.
pub(crate) struct ChatLoad<'a> {
    epoll: OwnedFd,
    clients: Vec<ChatClient>,
    events: Vec<epoll::Event>,
    /// Who is next to say something.
    next: usize,
    interrupt: &'a Interrupt,
}

struct ChatClient {
    stream: OwnedFd,
    line: [u8; MESSAGE_SIZE],
    received: [u8; TALKERS * MESSAGE_SIZE],
    length: usize,
}

impl<'a> ChatLoad<'a> {
    /// Each client says a line when it has connected: with that it is known to have joined.
    pub(crate) fn join(
        address: &SocketAddrAny,
        count: usize,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        assert_eq!(count % TALKERS, 0, "the talkers are taken in turns");
        let mut load = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: Vec::with_capacity(count),
            events: Vec::with_capacity(count),
            next: 0,
            interrupt,
        };
        for index in 0..count {
            let stream = client::connect(address)
                .with_context(|| format!("cannot open connection {index}"))?;
            epoll::add(
                &load.epoll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
            load.clients.push(ChatClient {
                stream,
                line: client::message(index),
                received: [0; TALKERS * MESSAGE_SIZE],
                length: 0,
            });
            load.say(index..index + 1)?;
        }
        Ok(load)
    }

    /// Returns the number of lines that were delivered.
    pub(crate) fn run_for(&mut self, duration: Duration) -> anyhow::Result<u64> {
        let end = Instant::now() + duration;
        let mut delivered = 0;
        while Instant::now() < end {
            delivered += self.say(self.next..self.next + TALKERS)?;
            self.next = (self.next + TALKERS) % self.clients.len();
        }
        Ok(delivered)
    }

    /// Has `talkers` say a line each, and returns once every client has all of them.
    fn say(&mut self, talkers: Range<usize>) -> anyhow::Result<u64> {
        let patience = Timespec::try_from(PATIENCE)?;
        for client in &mut self.clients {
            client.length = 0;
        }
        let lines: Vec<_> = self.clients[talkers.clone()]
            .iter()
            .map(|client| client.line)
            .collect();
        let mut waiting = self.clients.len();
        for (client, line) in self.clients[talkers].iter().zip(&lines) {
            client::send(&client.stream, line)?;
        }
        while waiting > 0 {
            self.interrupt.check()?;
            self.events.clear();
            let room = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(&self.epoll, room, Some(&patience)) {
                Ok(0) => bail!("{waiting} clients did not get each line within {PATIENCE:?}"),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for lines"),
            }
            for event in &self.events {
                if self.clients[event.data.u64() as usize].has_all(&lines)? {
                    waiting -= 1;
                }
            }
        }
        Ok((self.clients.len() * lines.len()) as u64)
    }
}

impl ChatClient {
    /// Reads what is there; true once all of `lines` are there.
    fn has_all(&mut self, lines: &[[u8; MESSAGE_SIZE]]) -> anyhow::Result<bool> {
        let room = &mut self.received[self.length..lines.len() * MESSAGE_SIZE];
        // Whoever has everything finds out with the next lines if there is more.
        if room.is_empty() {
            return Ok(false);
        }
        match rustix::net::recv(&self.stream, room, RecvFlags::DONTWAIT) {
            Ok((0, _)) => bail!("the server closed a connection"),
            Ok((count, _)) => self.length += count,
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error).context("cannot read a line"),
        }
        if self.length < lines.len() * MESSAGE_SIZE {
            return Ok(false);
        }
        let received = &self.received[..self.length];
        for line in lines {
            let copies = received.chunks(MESSAGE_SIZE).filter(|copy| copy == line);
            ensure!(
                copies.count() == 1,
                "not each line once: {:?}",
                String::from_utf8_lossy(received)
            );
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::SocketAddrUnix;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::broadcast;

    /// Has eight clients chat on a server that hands out what `repeat` makes of each line.
    fn chat(repeat: fn(&[u8]) -> Vec<u8>) -> anyhow::Result<u64> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("s");
        let runtime = tokio::runtime::Runtime::new()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::bind(&path)?
        };
        runtime.spawn(async move {
            let (room, _) = broadcast::channel(64);
            while let Ok((stream, _)) = listener.accept().await {
                let (mut reader, mut writer) = stream.into_split();
                let (mut news, room) = (room.subscribe(), room.clone());
                tokio::spawn(async move {
                    let mut line = [0; MESSAGE_SIZE];
                    while reader.read_exact(&mut line).await.is_ok() {
                        let _ = room.send(repeat(&line));
                    }
                });
                tokio::spawn(async move {
                    while let Ok(line) = news.recv().await {
                        let _ = writer.write_all(&line).await;
                    }
                });
            }
        });
        let interrupt = Interrupt::default();
        let mut load = ChatLoad::join(&SocketAddrUnix::new(&path)?.into(), 8, &interrupt)?;
        load.run_for(Duration::from_millis(1))
    }

    #[test]
    fn deliveries_are_counted() {
        let delivered = chat(<[u8]>::to_vec).unwrap();
        assert!(delivered >= 32, "four lines to eight clients");
        assert_eq!(delivered % 32, 0);
    }

    #[test]
    fn a_line_that_comes_twice_is_noticed() {
        let error = chat(|line| line.repeat(2)).unwrap_err();
        assert!(
            error.to_string().contains("not each line once"),
            "{error:#}"
        );
    }
}
