//! [`Load`]: many connections, one request in flight on each, from a single thread.
//!
//! The client shares the cores with the server, so its own cost must be small: one write and one read a
//! message, and one epoll_wait(2) for all sockets that are ready; edge-triggered, because a
//! level-triggered set is scanned twice.

mod failure;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::PATIENCE;
use super::answer::{AnswerProgress, WrongAnswer};
use super::exchange::{self, BenchExchange};
use super::sample::Sample;
use super::schedule::Schedule;
use super::socket::{BenchTarget, ClientSocket};
use super::stop::StopSignal;
use crate::transport::Transport;

/// How soon a stop signal is noticed while nothing else happens.
const TICK: Duration = Duration::from_millis(50);

/// How a load sends its requests.
#[derive(Clone, Copy)]
pub(super) struct LoadOptions {
    pub(super) connections: usize,
    /// Requests a second over all connections (open loop); `None`: each follows the answer to the one
    /// before (closed loop).
    pub(super) rate: Option<NonZeroU32>,
    /// How long to busy-poll for answers before sleeping.
    pub(super) busy_poll: Duration,
    /// Each request has a connection of its own.
    pub(super) reconnect: bool,
}

pub(super) struct Load<'a> {
    target: &'a BenchTarget,
    exchange: BenchExchange,
    options: LoadOptions,
    stop: &'a StopSignal,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<ClientConnection>,
    buffer: Vec<u8>,
    /// Connections without a request in flight, the one that is idle longest in front.
    idle: VecDeque<usize>,
    schedule: Option<Schedule>,
    end: Instant,
    /// When bytes came last.
    heard: Instant,
    sample: Sample,
}

struct ClientConnection {
    socket: ClientSocket,
    name: exchange::Name,
    /// When its request was due, if one is in flight.
    due: Option<Instant>,
    sent: usize,
    came: AnswerProgress,
    /// Whether it is registered for EPOLLOUT.
    wants_room: bool,
    /// Whether an answer came on this socket.
    was_answered: bool,
}

impl<'a> Load<'a> {
    /// Connects.
    pub(super) fn new(
        target: &'a BenchTarget,
        exchange: BenchExchange,
        options: LoadOptions,
        stop: &'a StopSignal,
    ) -> anyhow::Result<Self> {
        let now = Instant::now();
        let mut load = Self {
            target,
            buffer: vec![0; exchange.room()],
            exchange,
            options,
            stop,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(options.connections),
            connections: Vec::with_capacity(options.connections),
            idle: VecDeque::with_capacity(options.connections),
            schedule: None,
            end: now,
            heard: now,
            sample: Sample::new()?,
        };
        for index in 0..options.connections {
            stop.check()?;
            let socket = load.connect(index)?;
            load.connections.push(ClientConnection {
                socket,
                name: exchange::name(index),
                due: None,
                sent: 0,
                came: AnswerProgress::default(),
                wants_room: false,
                was_answered: false,
            });
        }
        Ok(load)
    }

    /// Sends for `time`, then waits for the missing answers.
    pub(super) fn run(&mut self, time: Duration) -> anyhow::Result<Sample> {
        let start = Instant::now();
        self.end = start + time;
        self.heard = start;
        self.sample = Sample::new()?;
        self.schedule = self.options.rate.map(|rate| Schedule::new(start, rate));
        self.idle.clear();
        for index in 0..self.connections.len() {
            self.next(index, start)?;
        }
        let mut is_over = false;
        loop {
            self.stop.check()?;
            let now = Instant::now();
            // The last time a little after the end, for requests that were due a little before.
            if !is_over {
                self.send_due(now.min(self.end))?;
            }
            is_over = now >= self.end;
            let waiting = self.connections.len() - self.idle.len();
            if is_over && waiting == 0 {
                break;
            }
            if waiting > 0 && now - self.heard > PATIENCE {
                return Err(self.silence(waiting));
            }
            self.wait(now)?;
            for at in 0..self.events.len() {
                let index = self.events[at].data.u64() as usize;
                self.ready(index)?;
            }
        }
        if let Some(schedule) = &mut self.schedule {
            while let Some(due) = schedule.take_before(self.end) {
                self.sample.never_sent(self.end - due);
            }
        }
        self.sample.elapsed = start.elapsed();
        self.must_have_answers()?;
        Ok(std::mem::replace(&mut self.sample, Sample::new()?))
    }

    /// The next request of a connection that has none in flight, or idles.
    fn next(&mut self, index: usize, now: Instant) -> anyhow::Result<()> {
        match self.schedule {
            None if now < self.end => self.begin(index, now),
            _ => {
                self.idle.push_back(index);
                Ok(())
            }
        }
    }

    fn send_due(&mut self, until: Instant) -> anyhow::Result<()> {
        while let Some(schedule) = &mut self.schedule
            && let Some(&index) = self.idle.front()
            && let Some(due) = schedule.take_before(until)
        {
            self.idle.pop_front();
            self.begin(index, due)?;
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, due: Instant) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        connection.due = Some(due);
        connection.sent = 0;
        connection.came = AnswerProgress::default();
        self.write(index)
    }

    fn ready(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &self.connections[index];
        if connection.due.is_none() {
            // The next request finds EOF or an error.
            return Ok(());
        }
        if connection.sent < self.exchange.wire_size() {
            self.write(index)?;
        }
        self.read(index)
    }

    fn write(&mut self, index: usize) -> anyhow::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            let rest = &self.exchange.request(connection.name)[connection.sent..];
            let whole = rest.len();
            match send(&connection.socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    connection.sent += count;
                    if count == whole {
                        return self.want_room(index, false);
                    }
                }
                // The queue of a datagram socket is full, or the send buffer.
                Err(Errno::AGAIN) => return self.want_room(index, true),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return self.was_closed(index),
                Err(errno) => return Err(self.cannot_send(errno)),
            }
        }
    }

    fn read(&mut self, index: usize) -> anyhow::Result<()> {
        let transport = self.target.endpoint.transport();
        loop {
            let connection = &mut self.connections[index];
            let count = match rustix::io::read(&connection.socket, &mut *self.buffer) {
                // From a datagram socket it is an empty message.
                Ok(0) if transport != Transport::Dgram => return self.was_closed(index),
                Err(Errno::CONNRESET) => return self.was_closed(index),
                Ok(count) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.broken(&io::Error::from(errno).to_string())),
            };
            let bytes = &self.buffer[..count];
            let came = &mut connection.came;
            match self.exchange.check(connection.name, came, bytes) {
                Ok(true) => return self.answered(index),
                Ok(false) if transport.has_records() => {
                    return Err(self.broken("an answer was incomplete"));
                }
                Ok(false) => self.heard = Instant::now(),
                Err(WrongAnswer::Longer) => {
                    return Err(self.broken(
                        "an answer of more than one message came (with --framing raw it is what one read gives)",
                    ));
                }
                Err(WrongAnswer::NotHttp(problem)) => {
                    return Err(
                        self.broken(&format!("an answer came that is not HTTP/1 ({problem:?})"))
                    );
                }
                Err(WrongAnswer::Differs { expected, found }) => {
                    return Err(self.broken(&format!(
                        "a wrong answer came: expected {expected}, found {found}"
                    )));
                }
            }
        }
    }

    fn answered(&mut self, index: usize) -> anyhow::Result<()> {
        let now = Instant::now();
        self.heard = now;
        let connection = &mut self.connections[index];
        connection.was_answered = true;
        match (connection.due.take(), connection.came.error.take()) {
            (_, Some(status)) => self.sample.failed(status),
            (Some(due), None) => self.sample.answered_after(now - due),
            (None, None) => {}
        }
        if self.options.reconnect {
            self.reopen(index)?;
        }
        self.next(index, now)
    }

    /// Sends the request again on a new connection, if the server closed the old one after an answer.
    fn was_closed(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        if self.exchange.ends_with_input(&mut connection.came) {
            self.sample.closed += 1;
            self.reopen(index)?;
            return self.answered(index);
        }
        let connection = &self.connections[index];
        let found = match (connection.came.is_nothing(), connection.was_answered) {
            (false, _) => Some("it closed a connection in the middle of an answer"),
            (true, false) => Some("it closed a connection without an answer"),
            (true, true) => None,
        };
        if let Some(found) = found {
            return Err(if self.target.is_gone() {
                self.target.gone()
            } else {
                self.broken(found)
            });
        }
        self.sample.closed += 1;
        self.reopen(index)?;
        self.connections[index].sent = 0;
        self.write(index)
    }

    fn reopen(&mut self, index: usize) -> anyhow::Result<()> {
        let socket = self.connect(index)?;
        let connection = &mut self.connections[index];
        connection.socket = socket;
        connection.wants_room = false;
        connection.was_answered = false;
        Ok(())
    }

    fn connect(&self, index: usize) -> anyhow::Result<ClientSocket> {
        let socket = self.target.connect(self.stop)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &socket, data, interest(false))?;
        Ok(socket)
    }

    /// Registers for EPOLLOUT while it is needed: each read of the server would be an event.
    fn want_room(&mut self, index: usize, wanted: bool) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        if connection.wants_room != wanted {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &connection.socket, data, interest(wanted))?;
            connection.wants_room = wanted;
        }
        Ok(())
    }

    /// Waits until a connection is ready, a request is due, or a stop signal may have come.
    fn wait(&mut self, now: Instant) -> anyhow::Result<()> {
        let due = match &self.schedule {
            Some(schedule) if now < self.end && !self.idle.is_empty() => {
                Some(schedule.next_before(self.end).unwrap_or(self.end))
            }
            _ => None,
        };
        if !self.options.busy_poll.is_zero() {
            let until = now + self.options.busy_poll;
            let until = due.map_or(until, |due| until.min(due));
            loop {
                self.take_events(Duration::ZERO)?;
                let now = Instant::now();
                if !self.events.is_empty() || due.is_some_and(|due| now >= due) {
                    return Ok(());
                }
                if now >= until {
                    break;
                }
            }
        }
        let Some(due) = due else {
            return self.take_events(TICK);
        };
        // epoll_wait(2) counts in milliseconds.
        let time = Timespec::try_from(due.saturating_duration_since(Instant::now()).min(TICK))?;
        match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&time)) {
            Ok(_) | Err(Errno::INTR) => self.take_events(Duration::ZERO),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }

    fn take_events(&mut self, timeout: Duration) -> anyhow::Result<()> {
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, Some(&Timespec::try_from(timeout)?)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }
}

fn interest(in_room: bool) -> epoll::EventFlags {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    if in_room {
        flags | epoll::EventFlags::OUT
    } else {
        flags
    }
}
