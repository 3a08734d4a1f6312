//! [`Player`]: plays the client of one recorded connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::Shutdown;
use sockeye::ancillary::{RecvError, SendError};
use sockeye::capture::{RecordedPart, Recording};
use sockeye::relay::ObservedDirection;
use sockeye::stream::{ReadHalf, WriteHalf};
use sockeye::{Address, ConnectError, Connector, Datagram, Kind, Stream};
use tokio::time::sleep_until;

use super::client_script::{ClientScript, ClientStep, Outcome};
use super::mask::Masks;
use super::pace::Pace;
use super::record_socket::RecordSocket;

/// How much of a stream is read at once.
const READ: usize = 64 << 10;

/// The least room for a record: one that is longer than was recorded is to be seen as that.
const LEAST_ROOM: usize = 64 << 10;

/// What the players of a recording share.
pub(super) struct Player {
    pub(super) recording: Arc<Recording>,
    pub(super) address: Address,
    pub(super) connector: Connector,
    pub(super) pace: Pace,
    pub(super) timeout: Duration,
    /// Where answers are compared.
    pub(super) masks: Option<Arc<Masks>>,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// Why a connection could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlayError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("reading the recording failed: {0}")]
    Recording(io::Error),
    #[error("{0}")]
    Socket(io::Error),
}

impl Player {
    /// Connects, and plays the connection of this number.
    pub(super) async fn play(&self, number: usize) -> Result<Outcome, PlayError> {
        let (address, connector) = (&self.address, &self.connector);
        match address.kind() {
            Kind::Stream => {
                let mut stream = connector.connect(address).await?;
                self.play_stream(number, &mut stream).await
            }
            Kind::SeqPacket => {
                let socket = connector.connect_seqpacket(address).await?;
                self.play_records(number, RecordSocket::SeqPacket(socket))
                    .await
            }
            Kind::Datagram => {
                let mut socket = Datagram::unclaimed().map_err(PlayError::Socket)?;
                connector.connect_datagram(&socket, address).await?;
                socket.set_send_timeout(self.timeout);
                self.play_records(number, RecordSocket::Datagram(Box::new(socket)))
                    .await
            }
        }
    }

    fn script(&self, number: usize) -> ClientScript {
        let masks = self.masks.as_ref();
        ClientScript::new(
            &self.recording,
            number,
            self.pace,
            self.timeout,
            masks,
            self.address.kind() != Kind::Datagram,
        )
    }

    async fn play_stream(&self, number: usize, stream: &mut Stream) -> Result<Outcome, PlayError> {
        let mut script = self.script(number);
        let (read, write) = stream.split();
        let mut buffer = vec![0; READ];
        // What is being sent, and how much of it has been.
        let (mut sending, mut sent) = (Vec::new(), 0);
        let mut has_ended = false;
        loop {
            let mut until = script.deadline();
            if sent == sending.len() {
                if !sending.is_empty() {
                    (sending, sent) = (Vec::new(), 0);
                    script.sent();
                }
                match script.step().map_err(PlayError::Recording)? {
                    ClientStep::Send(location) => {
                        let bytes = self.recording.read(&location);
                        sending = bytes.map_err(PlayError::Recording)?;
                        until = script.deadline();
                    }
                    ClientStep::HalfClose => {
                        half_close(&write);
                        script.sent();
                        continue;
                    }
                    ClientStep::Wait(time) => until = time,
                    ClientStep::End(outcome) => return Ok(outcome),
                }
            }
            let sends = sent < sending.len();
            let found = tokio::select! {
                ready = read.readable(), if !has_ended => {
                    ready.map_err(PlayError::Socket)?;
                    self.receive(&mut script, &read, &mut buffer, &mut has_ended)?
                }
                ready = write.writable(), if sends => {
                    ready.map_err(PlayError::Socket)?;
                    match self.send_some(&mut script, &write, &sending[sent..])? {
                        Some(count) => sent += count,
                        None => (sending, sent) = (Vec::new(), 0),
                    }
                    None
                }
                () = sleep_until(until) => {
                    script.time_is_over(sends).map_err(PlayError::Recording)?
                }
            };
            if let Some(outcome) = found {
                return Ok(outcome);
            }
        }
    }

    /// Reads once; the outcome, if that ends the connection.
    fn receive(
        &self,
        script: &mut ClientScript,
        read: &ReadHalf<'_>,
        buffer: &mut [u8],
        has_ended: &mut bool,
    ) -> Result<Option<Outcome>, PlayError> {
        match read.try_read(buffer) {
            Ok(0) => {
                *has_ended = true;
                script.take_end().map_err(PlayError::Recording)
            }
            Ok(count) => {
                self.received.fetch_add(count as u64, Ordering::Relaxed);
                let taken = script.take(&buffer[..count], false);
                taken.map_err(PlayError::Recording)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                io::ErrorKind::ConnectionReset => {
                    script.take_reset();
                    Ok(None)
                }
                _ => Err(PlayError::Socket(error)),
            },
        }
    }

    /// Sends once, and returns how much; `None` where the server takes nothing more.
    fn send_some(
        &self,
        script: &mut ClientScript,
        write: &WriteHalf<'_>,
        bytes: &[u8],
    ) -> Result<Option<usize>, PlayError> {
        match write.try_write(bytes) {
            Ok(count) => {
                self.sent.fetch_add(count as u64, Ordering::Relaxed);
                script.progressed();
                Ok(Some(count))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Some(0)),
                io::ErrorKind::BrokenPipe => {
                    script.closed();
                    Ok(None)
                }
                io::ErrorKind::ConnectionReset => {
                    script.take_reset();
                    Ok(None)
                }
                _ => Err(PlayError::Socket(error)),
            },
        }
    }

    async fn play_records(
        &self,
        number: usize,
        socket: RecordSocket,
    ) -> Result<Outcome, PlayError> {
        let mut script = self.script(number);
        let (longest_sent, longest_received) = self.longest_records(number);
        socket.make_room(longest_sent);
        let mut buffer = vec![0; longest_received.max(LEAST_ROOM) + 1];
        let mut sending: Option<Vec<u8>> = None;
        let mut has_ended = false;
        loop {
            let mut until = script.deadline();
            if sending.is_none() {
                match script.step().map_err(PlayError::Recording)? {
                    ClientStep::Send(location) => {
                        let record = self.recording.read(&location);
                        sending = Some(record.map_err(PlayError::Recording)?);
                        until = script.deadline();
                    }
                    ClientStep::HalfClose => {
                        socket.half_close();
                        script.sent();
                        continue;
                    }
                    ClientStep::Wait(time) => until = time,
                    ClientStep::End(outcome) => return Ok(outcome),
                }
            }
            let record = sending.as_deref().unwrap_or_default();
            let found = tokio::select! {
                received = socket.recv(&mut buffer), if !has_ended => {
                    self.received(&mut script, received, &buffer, &mut has_ended)?
                }
                done = socket.send(record), if sending.is_some() => {
                    self.record_sent(&mut script, done, record.len())?;
                    sending = None;
                    None
                }
                () = sleep_until(until) => {
                    script.time_is_over(sending.is_some()).map_err(PlayError::Recording)?
                }
            };
            if let Some(outcome) = found {
                return Ok(outcome);
            }
        }
    }

    /// Takes a record that has come.
    fn received(
        &self,
        script: &mut ClientScript,
        received: Result<Option<usize>, RecvError>,
        buffer: &[u8],
        has_ended: &mut bool,
    ) -> Result<Option<Outcome>, PlayError> {
        let taken = match received {
            Ok(Some(count)) => {
                self.received.fetch_add(count as u64, Ordering::Relaxed);
                script.take(&buffer[..count], true)
            }
            Ok(None) => {
                *has_ended = true;
                script.take_end()
            }
            Err(RecvError::TooLong { size, .. }) => {
                self.received.fetch_add(size as u64, Ordering::Relaxed);
                // Its beginning is there, and it is longer than all that were recorded.
                script.take(buffer, true)
            }
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                script.take_reset();
                return Ok(None);
            }
            // A datagram server that has ended.
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                *has_ended = true;
                script.take_end()
            }
            Err(error) => return Err(PlayError::Socket(error.into())),
        };
        taken.map_err(PlayError::Recording)
    }

    /// Notes that a record was sent, or that the server takes nothing more.
    fn record_sent(
        &self,
        script: &mut ClientScript,
        sent: Result<(), SendError>,
        count: usize,
    ) -> Result<(), PlayError> {
        match sent {
            Ok(()) => {
                self.sent.fetch_add(count as u64, Ordering::Relaxed);
                script.sent();
            }
            Err(SendError::Io(error)) => match error.kind() {
                io::ErrorKind::BrokenPipe => script.closed(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused => {
                    script.take_reset();
                }
                _ => return Err(PlayError::Socket(error)),
            },
            Err(error) => return Err(PlayError::Socket(io::Error::other(error.to_string()))),
        }
        Ok(())
    }

    /// Of the client's records, and of the answer's.
    fn longest_records(&self, number: usize) -> (usize, usize) {
        let mut longest = (0, 0);
        for event in self.recording.connections()[number].events() {
            let RecordedPart::Record(location) = event.what else {
                continue;
            };
            let longest = match event.direction {
                ObservedDirection::ToTarget => &mut longest.0,
                ObservedDirection::ToClient => &mut longest.1,
            };
            *longest = location.len().max(*longest);
        }
        longest
    }
}

fn half_close(write: &WriteHalf<'_>) {
    // It fails where the server has closed.
    let _ = rustix::net::shutdown(write, Shutdown::Write);
}
