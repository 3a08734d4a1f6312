//! What the encoder writes, the parser reads.

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use proptest::prelude::*;

use super::encoder::Encoder;
use super::error::RecordingErrorKind;
use super::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, OBSOLETE_PACKET, SECTION_HEADER,
    SIMPLE_PACKET,
};
use super::recorded::{RecordedConnection, RecordedLocation, RecordedPart};
use super::recorder_options::RecorderOptions;
use super::recording_parser::{ParsedRecording, parse};
use super::segment::{ACK, Segment};
use crate::address::Kind;
use crate::relay::{
    DirectionEnd, ObservedBegin, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece,
};

const DIRECTIONS: [ObservedDirection; 2] =
    [ObservedDirection::ToTarget, ObservedDirection::ToClient];

/// A recording in memory.
struct Written {
    encoder: Encoder,
    file: Vec<u8>,
}

impl Written {
    fn new() -> Self {
        Self {
            encoder: Encoder::new(RecorderOptions::new("test")),
            file: Vec::new(),
        }
    }

    fn begin(&mut self, connection: u64, kind: Kind) {
        self.encoder.begin(&ObservedBegin::new(connection, kind));
    }

    fn piece(&mut self, connection: u64, to: usize, bytes: &Bytes, is_record: bool) {
        let mut piece = ObservedPiece::new(connection, DIRECTIONS[to], bytes.clone());
        piece.is_record = is_record;
        self.encoder.piece(&piece);
    }

    fn end(&mut self, connection: u64, to: usize, end: DirectionEnd) {
        let end = ObservedEnd::new(connection, DIRECTIONS[to], end);
        self.encoder.end(&end);
    }

    fn write(&mut self) {
        for slice in self.encoder.blocks.slices(0) {
            self.file.extend_from_slice(&slice);
        }
        self.encoder.settle(self.encoder.blocks.ends().len());
    }

    fn parse(&mut self) -> ParsedRecording {
        self.write();
        let size = self.file.len() as u64;
        let parsed = parse(Cursor::new(&self.file), size).unwrap();
        assert_eq!(parsed.end, size);
        parsed
    }

    fn bytes(&self, parsed: &ParsedRecording, location: RecordedLocation) -> Vec<u8> {
        let whole = vec![(location.offset, location.length)];
        let parts = parsed.long_records.get(&location.offset).unwrap_or(&whole);
        let parts = parts.iter().map(|&(offset, size)| {
            let offset = offset as usize;
            self.file[offset..offset + size as usize].to_vec()
        });
        parts.collect::<Vec<_>>().concat()
    }
}

fn parts(connection: &RecordedConnection) -> Vec<RecordedPart> {
    connection.events.iter().map(|event| event.what).collect()
}

#[test]
fn a_hole_is_one_however_much_is_missing() {
    let mut written = Written::new();
    written.begin(1, Kind::Stream);
    written.piece(1, 0, &Bytes::from_static(b"before"), false);
    written.write();
    // 3 GiB: as sequence numbers these are 1 GiB back.
    let piece = Bytes::from(vec![0; 65_536]);
    for _ in 0..(3_u64 << 30) / 65_536 / 16 {
        for _ in 0..16 {
            written.piece(1, 0, &piece, false);
        }
        written.encoder.settle(0);
    }
    let mut gap = ObservedGap::new(1, DIRECTIONS[0]);
    gap.bytes = 5 << 30;
    written.encoder.missed(&gap);
    written.piece(1, 0, &Bytes::from_static(b"behind"), false);
    written.end(1, 0, DirectionEnd::Eof);
    let parsed = written.parse();
    let [connection] = &parsed.assembled.connections[..] else {
        panic!("{:?}", parsed.assembled.connections);
    };
    let parts = parts(connection);
    let [
        RecordedPart::Bytes(before),
        RecordedPart::Missing(missing),
        RecordedPart::Bytes(behind),
        RecordedPart::End,
    ] = parts[..]
    else {
        panic!("{parts:?}");
    };
    assert!((1_000_000_000..2 << 30).contains(&missing), "{missing}");
    assert_eq!(written.bytes(&parsed, before), b"before");
    assert_eq!(written.bytes(&parsed, behind), b"behind");
    assert!(connection.has_hole());
}

#[test]
fn an_interface_that_was_dropped_is_described_again() {
    let mut written = Written::new();
    written.write();
    written.begin(1, Kind::Stream);
    written.encoder.settle(0);
    written.begin(2, Kind::SeqPacket);
    written.begin(3, Kind::Stream);
    // The description of the first interface and one packet fit.
    let ends = written.encoder.blocks.ends()[1];
    let first: Vec<u8> = written
        .encoder
        .blocks
        .slices(0)
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    written.file.extend_from_slice(&first[..ends]);
    written.encoder.settle(2);
    written.begin(4, Kind::Stream);
    written.begin(5, Kind::SeqPacket);
    let parsed = written.parse();
    let kinds = parsed.assembled.connections.iter();
    let kinds: Vec<bool> = kinds.map(RecordedConnection::is_record).collect();
    assert_eq!(kinds, [true, false, true]);
}

#[test]
fn a_file_that_is_no_recording_is_named() {
    let kind = |bytes: &[u8]| {
        let parsed = parse(Cursor::new(bytes), bytes.len() as u64);
        parsed.map(|parsed| parsed.end).unwrap_err()
    };
    let pcap = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0";
    assert!(matches!(kind(pcap), (0, RecordingErrorKind::OldPcap)));
    assert!(matches!(
        kind(b"\x1f\x8b\x08\0"),
        (0, RecordingErrorKind::Compressed)
    ));
    assert!(matches!(
        kind(b"hello, world"),
        (0, RecordingErrorKind::NotPcapng(_))
    ));
    assert!(matches!(kind(b"h"), (0, RecordingErrorKind::NotPcapng(_))));
    let mut written = Written::new();
    written.begin(1, Kind::Stream);
    written.write();
    let second = written.file.len() as u64;
    written
        .file
        .extend_from_slice(&[6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    let (offset, error) = kind(&written.file);
    assert_eq!(offset, second);
    assert_eq!(
        error.to_string(),
        "a malformed block: a length that no block has"
    );
}

/// A block with numbers in network byte order.
fn big_endian_block(kind: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut body = parts.concat();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = (body.len() as u32 + 12).to_be_bytes();
    [&kind.to_be_bytes()[..], &length, &body, &length].concat()
}

/// The client's segment with the byte at this place, from 1 on.
fn segment(place: u32) -> Vec<u8> {
    let segment = Segment {
        from: "10.0.0.1:40000".parse().unwrap(),
        to: "10.0.0.2:443".parse().unwrap(),
        sequence: place,
        acknowledged: 7,
        flags: ACK,
    };
    [segment.headers(1).as_bytes(), &[place as u8]].concat()
}

#[test]
fn other_byte_orders_links_and_blocks_are_read() {
    let number = u32::to_be_bytes;
    let size = number(41);
    let section = [&number(BYTE_ORDER_MAGIC)[..], &[0, 1, 0, 0], &[0xff; 8]];
    // Microseconds, as there is no option; seconds for the second interface.
    let raw = [&[0, 101, 0, 0][..], &number(0)];
    let seconds = [&[0, 101, 0, 0][..], &number(0), &[0, 9, 0, 1, 0, 0, 0, 0]];
    let ethernet = [&[0, 1, 0, 0][..], &number(0)];
    let time = [number(0), number(1_000_000)].concat();
    let later = [number(0), number(3)].concat();
    let file = [
        big_endian_block(SECTION_HEADER, &section),
        big_endian_block(INTERFACE_DESCRIPTION, &raw),
        big_endian_block(INTERFACE_DESCRIPTION, &seconds),
        big_endian_block(INTERFACE_DESCRIPTION, &ethernet),
        big_endian_block(
            ENHANCED_PACKET,
            &[&number(0), &time, &size, &size, &segment(1)],
        ),
        big_endian_block(SIMPLE_PACKET, &[&size, &segment(2)]),
        // Names of addresses, and packets without IP.
        big_endian_block(4, &[&[0; 4]]),
        big_endian_block(
            ENHANCED_PACKET,
            &[&number(2), &time, &size, &size, &segment(3)],
        ),
        big_endian_block(
            OBSOLETE_PACKET,
            &[&[0, 1, 0, 0], &later, &size, &size, &segment(3)],
        ),
    ]
    .concat();
    let parsed = parse(Cursor::new(&file), file.len() as u64).unwrap();
    assert_eq!((parsed.assembled.packets, parsed.assembled.ignored), (4, 1));
    let [connection] = &parsed.assembled.connections[..] else {
        panic!("{:?}", parsed.assembled.connections);
    };
    let events = connection.events.iter().map(|event| {
        let RecordedPart::Bytes(location) = event.what else {
            panic!("{event:?}");
        };
        let byte = file[location.offset as usize];
        (event.direction, event.time.as_secs(), byte)
    });
    let direction = ObservedDirection::ToTarget;
    let expected = [(direction, 0, 1), (direction, 0, 2), (direction, 2, 3)];
    assert_eq!(events.collect::<Vec<_>>(), expected);
    assert!(!connection.has_begin() && !connection.has_hole());
}

/// What is done to one of three connections.
#[derive(Debug, Clone)]
enum Step {
    Piece(usize, Vec<u8>),
    Large(usize, u8, usize),
    Write,
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let step = prop_oneof![
        6 => (0..2_usize, bytes).prop_map(|(to, bytes)| Step::Piece(to, bytes)),
        1 => (0..2_usize, any::<u8>(), 60_000..500_000_usize)
            .prop_map(|(to, byte, size)| Step::Large(to, byte, size)),
        1 => Just(Step::Write),
    ];
    (1..=3_u64, step)
}

fn end() -> impl Strategy<Value = DirectionEnd> {
    prop_oneof![
        Just(DirectionEnd::Eof),
        Just(DirectionEnd::Reset),
        Just(DirectionEnd::ReaderGone),
        Just(DirectionEnd::ReaderClosed),
        Just(DirectionEnd::Aborted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(
        are_records in any::<[bool; 3]>(),
        steps in prop::collection::vec(step(), 0..40),
        ends in prop::array::uniform3((end(), end())),
    ) {
        let mut written = Written::new();
        let mut sent: BTreeMap<(u64, usize), Vec<Vec<u8>>> = BTreeMap::new();
        for (connection, &is_record) in (1..).zip(&are_records) {
            written.begin(connection, if is_record { Kind::SeqPacket } else { Kind::Stream });
        }
        for (connection, step) in steps {
            let (to, bytes) = match step {
                Step::Piece(to, bytes) => (to, bytes),
                Step::Large(to, byte, size) => (to, vec![byte; size]),
                Step::Write => {
                    written.write();
                    continue;
                }
            };
            let is_record = are_records[connection as usize - 1];
            written.piece(connection, to, &Bytes::from(bytes.clone()), is_record);
            sent.entry((connection, to)).or_default().push(bytes);
        }
        for (connection, (first, second)) in (1..).zip(ends) {
            written.end(connection, 0, first);
            written.end(connection, 1, second);
        }
        let parsed = written.parse();
        prop_assert_eq!(parsed.assembled.connections.len(), 3);
        for (number, connection) in (1..).zip(&parsed.assembled.connections) {
            prop_assert!(connection.is_complete(), "{:?}", connection);
            for (to, direction) in DIRECTIONS.into_iter().enumerate() {
                let events = connection.events.iter().filter(|event| event.direction == direction);
                let read: Vec<Vec<u8>> = events.filter_map(|event| match event.what {
                    RecordedPart::Bytes(location) | RecordedPart::Record(location) => {
                        Some(written.bytes(&parsed, location))
                    }
                    _ => None,
                }).collect();
                let sent = sent.remove(&(number, to)).unwrap_or_default();
                if connection.is_record() {
                    prop_assert!(read == sent);
                } else {
                    prop_assert!(read.concat() == sent.concat());
                }
            }
        }
    }

    #[test]
    fn a_changed_file_is_read_or_refused(
        changes in prop::collection::vec((0..3000_usize, any::<u8>()), 1..10),
    ) {
        let mut written = Written::new();
        written.begin(1, Kind::Stream);
        written.begin(2, Kind::SeqPacket);
        for connection in [1, 2] {
            for to in [0, 1] {
                written.piece(connection, to, &Bytes::from_static(b"some bytes"), connection == 2);
                written.end(connection, to, DirectionEnd::Eof);
            }
        }
        written.write();
        let size = written.file.len();
        for (at, byte) in changes {
            written.file[at % size] = byte;
        }
        if let Ok(parsed) = parse(Cursor::new(&written.file), size as u64) {
            for event in parsed.assembled.connections.iter().flat_map(|one| &one.events) {
                if let RecordedPart::Bytes(location) | RecordedPart::Record(location) = event.what {
                    written.bytes(&parsed, location);
                }
            }
        }
    }
}
