//! [`Encoder`]: turns what an observer sees into blocks.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::net::SocketAddrV4;
use std::os::unix::ffi::OsStrExt;
use std::time::{Instant, SystemTime};

use rustix::process::Pid;

use super::block_buffer::BlockBuffer;
use super::comment;
use super::direction::{Batch, Stamp};
use super::endpoints;
use super::pcapng::{LINK_EXPORTED_PDU, LINK_IPV4};
use super::record_frames::RecordFrames;
use super::recorder_options::RecorderOptions;
use super::stream_frames::StreamFrames;
use crate::address::{Kind, escaped};
use crate::ids;
use crate::relay::{ObservedBegin, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece};

/// Turns what an observer sees into blocks.
#[derive(Debug)]
pub(super) struct Encoder {
    options: RecorderOptions,
    pub(super) blocks: BlockBuffer,
    interfaces: Interfaces,
    connections: HashMap<u64, ConnectionFrames>,
    clock: Clock,
    batch: Batch,
}

#[derive(Debug)]
enum ConnectionFrames {
    Stream(StreamFrames),
    Records(RecordFrames),
}

/// Which interfaces the file has. Most recordings need one, and then editcap can write them as pcap, too.
#[derive(Debug, Default)]
struct Interfaces {
    /// The link type of each.
    links: Vec<u16>,
    /// The blocks that describe those that are not written yet, counted in the buffer.
    pending: Vec<usize>,
}

/// The time of the system when the recording began; since then that of the monotonic clock, so that no
/// answer comes before its request.
#[derive(Debug, Default)]
struct Clock(Option<(u64, Instant)>);

impl Encoder {
    /// The blocks hold the header of the section.
    pub(super) fn new(options: RecorderOptions) -> Self {
        let mut blocks = BlockBuffer::default();
        blocks.section(concat!("sockeye ", env!("CARGO_PKG_VERSION")));
        Self {
            options,
            blocks,
            interfaces: Interfaces::default(),
            connections: HashMap::new(),
            clock: Clock::default(),
            batch: Batch::default(),
        }
    }

    pub(super) fn begin(&mut self, begin: &ObservedBegin) {
        let time = self.clock.nanoseconds(begin.time, begin.instant);
        let comment = comment::client(client_of(begin));
        let is_record = begin.kind != Kind::Stream;
        let stamp = self.stamp(time, is_record, ObservedDirection::ToTarget);
        let mut frames = ConnectionFrames::new(begin.connection, is_record, &self.options);
        match &mut frames {
            ConnectionFrames::Stream(stream) => stream.begin(&mut self.blocks, stamp, &comment),
            ConnectionFrames::Records(records) => records.begin(&mut self.blocks, stamp, &comment),
        }
        self.connections.insert(begin.connection, frames);
    }

    pub(super) fn piece(&mut self, piece: &ObservedPiece) {
        let time = self.clock.nanoseconds(piece.time, piece.instant);
        let stamp = self.stamp(time, piece.is_record, piece.direction);
        let comment = (!piece.fds.is_empty()).then(|| comment::fds(piece.fds.iter()));
        let comment = comment.as_deref();
        let connection = self.connections.entry(piece.connection);
        // Where its beginning was not observed, there is none.
        let connection = connection.or_insert_with(|| {
            ConnectionFrames::new(piece.connection, piece.is_record, &self.options)
        });
        let (out, bytes) = (&mut self.blocks, &piece.bytes);
        match connection {
            ConnectionFrames::Stream(stream) => stream.piece(out, stamp, bytes, comment),
            ConnectionFrames::Records(records) => {
                records.record(out, stamp, &self.options.dissector, bytes, comment);
            }
        }
    }

    pub(super) fn end(&mut self, end: &ObservedEnd) {
        let Some(frames) = self.connections.get(&end.connection) else {
            return;
        };
        let is_record = matches!(frames, ConnectionFrames::Records(_));
        let time = self.clock.nanoseconds(end.time, end.instant);
        let stamp = self.stamp(time, is_record, end.direction);
        let (out, frames) = (&mut self.blocks, self.connections.get_mut(&end.connection));
        let has_ended = match frames {
            Some(ConnectionFrames::Stream(frames)) => frames.end(out, stamp, end.end),
            Some(ConnectionFrames::Records(frames)) => frames.end(out, stamp, end.end),
            None => false,
        };
        if has_ended {
            self.connections.remove(&end.connection);
        }
    }

    pub(super) fn missed(&mut self, gap: &ObservedGap) {
        match self.connections.get_mut(&gap.connection) {
            Some(ConnectionFrames::Stream(frames)) => frames.missed(gap.direction, gap.bytes),
            Some(ConnectionFrames::Records(frames)) => frames.missed(gap.direction, gap.pieces),
            None => {}
        }
    }

    /// As many blocks as this are written, and the others never will be.
    pub(super) fn settle(&mut self, written: usize) {
        let interfaces = &mut self.interfaces;
        let lost = interfaces.pending.iter().filter(|&&block| block >= written);
        let described = interfaces.links.len() - lost.count();
        interfaces.links.truncate(described);
        interfaces.pending.clear();
        self.blocks.clear();
        self.batch.number += 1;
        self.batch.written += u64::from(written > 0);
    }

    /// How many packets are not in the file, as Wireshark shows it.
    pub(super) fn statistics(&mut self, dropped: u64) {
        if !self.interfaces.links.is_empty() {
            let time = self.clock.nanoseconds(SystemTime::now(), Instant::now());
            self.blocks.statistics(0, time, dropped);
        }
    }

    fn stamp(&mut self, time: u64, is_record: bool, to: ObservedDirection) -> Stamp {
        let link = if is_record {
            LINK_EXPORTED_PDU
        } else {
            LINK_IPV4
        };
        let interfaces = &mut self.interfaces;
        let described = interfaces.links.iter().position(|&other| other == link);
        let interface = described.unwrap_or_else(|| {
            interfaces.pending.push(self.blocks.ends().len());
            self.blocks.interface(link, &self.options.name);
            interfaces.links.push(link);
            interfaces.links.len() - 1
        }) as u32;
        Stamp {
            interface,
            time,
            to,
            batch: self.batch,
        }
    }
}

impl ConnectionFrames {
    fn new(connection: u64, is_record: bool, options: &RecorderOptions) -> Self {
        // Observers count from 1.
        let client = endpoints::client(connection.wrapping_sub(1));
        let server = SocketAddrV4::new(endpoints::SERVER, options.port);
        if is_record {
            Self::Records(RecordFrames::new(client, server))
        } else {
            Self::Stream(StreamFrames::new(client, server))
        }
    }
}

impl Clock {
    fn nanoseconds(&mut self, time: SystemTime, instant: Instant) -> u64 {
        let (begin, at) = *self.0.get_or_insert_with(|| {
            let time = time.duration_since(SystemTime::UNIX_EPOCH);
            let time = time.map_or(0, |time| time.as_nanos() as u64);
            (time, instant)
        });
        match instant.checked_duration_since(at) {
            Some(later) => begin + later.as_nanos() as u64,
            None => begin - (at - instant).as_nanos() as u64,
        }
    }
}

/// `pid 4242 (curl) uid 1000 gid 1000`, with `?` for what is not known.
fn client_of(begin: &ObservedBegin) -> impl Display {
    fmt::from_fn(|f| {
        let Some(client) = begin.client else {
            return f.write_str("not known");
        };
        match client.pid().map(Pid::as_raw_pid) {
            Some(pid) => write!(f, "pid {pid}")?,
            None => f.write_str("pid ?")?,
        }
        if let Some(command) = &begin.command {
            write!(f, " ({})", escaped(OsStr::from_bytes(command)))?;
        }
        let (uid, gid) = (ids::Shown(client.uid()), ids::Shown(client.gid()));
        write!(f, " uid {uid} gid {gid}")
    })
}
