//! What was recorded is read again: as it was, and as others have rewritten it.

use sockeye::Kind;
use sockeye::capture::{RecordedPart, Recording};
use sockeye::relay::DirectionEnd;

use crate::support::{Session, TO_CLIENT, TO_TARGET, bytes};

#[test]
fn streams_are_read_as_they_were_written() {
    let mut session = Session::new();
    let large: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    session.exchange(1, &[(TO_TARGET, b"ping"), (TO_CLIENT, b"pong")]);
    session.exchange(
        2,
        &[(TO_CLIENT, &large), (TO_CLIENT, b"x"), (TO_TARGET, &large)],
    );
    session.begin(3, Kind::Stream);
    session.piece(3, TO_TARGET, &b"half"[..]);
    session.end(3, TO_TARGET, DirectionEnd::Reset);
    session.end(3, TO_CLIENT, DirectionEnd::Aborted);
    session.begin(4, Kind::Stream);
    let recording = Recording::open(session.file()).unwrap();
    assert_eq!(recording.cut(), None);
    let [first, second, third, fourth] = recording.connections() else {
        panic!("{:?}", recording.connections());
    };
    assert_eq!(bytes(&recording, first, TO_TARGET), b"ping");
    assert_eq!(bytes(&recording, first, TO_CLIENT), b"pong");
    assert!(first.is_complete() && !first.is_record() && first.fds() == 0);
    assert_eq!(first.client(), Some("not known"));
    assert_eq!(bytes(&recording, second, TO_TARGET), large);
    assert_eq!(
        bytes(&recording, second, TO_CLIENT),
        [&large[..], b"x"].concat()
    );
    assert!(second.is_complete());
    assert_eq!(bytes(&recording, third, TO_TARGET), b"half");
    let parts: Vec<_> = third.events().iter().map(|event| event.what).collect();
    assert!(matches!(
        parts[..],
        [RecordedPart::Bytes(_), RecordedPart::Reset]
    ));
    assert!(third.has_end());
    assert!(fourth.has_begin() && !fourth.has_end() && fourth.events().is_empty());
}

#[test]
fn records_are_read_as_they_were_written() {
    let mut session = Session::new();
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    session.begin(1, Kind::SeqPacket);
    session.record(1, TO_TARGET, &b"one"[..]);
    session.record(1, TO_TARGET, &b""[..]);
    session.record(1, TO_CLIENT, large.clone());
    session.record(1, TO_CLIENT, &b"two"[..]);
    session.end(1, TO_TARGET, DirectionEnd::Eof);
    session.end(1, TO_CLIENT, DirectionEnd::Eof);
    let recording = Recording::open(session.file()).unwrap();
    let [connection] = recording.connections() else {
        panic!("{:?}", recording.connections());
    };
    assert!(connection.is_complete() && connection.is_record());
    let events = connection.events().iter();
    let events: Vec<_> = events
        .map(|event| {
            let record = match &event.what {
                RecordedPart::Record(location) => recording.read(location).ok(),
                _ => None,
            };
            (event.direction, record)
        })
        .collect();
    let expected = [
        (TO_TARGET, Some(b"one".to_vec())),
        (TO_TARGET, Some(Vec::new())),
        (TO_CLIENT, Some(large)),
        (TO_CLIENT, Some(b"two".to_vec())),
        (TO_TARGET, None),
        (TO_CLIENT, None),
    ];
    assert_eq!(events, expected);
}
