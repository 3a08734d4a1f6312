//! Recordings that others have rewritten, or cut.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use sockeye::Kind;
use sockeye::capture::{RecordedPart, Recording};
use sockeye::relay::DirectionEnd;

use crate::support::{Session, TO_CLIENT, TO_TARGET, bytes, output, run};

/// Two streams and a seqpacket connection.
fn session() -> Session {
    let mut session = Session::new();
    for connection in 1..=2 {
        let large = vec![connection as u8; 100_000];
        session.exchange(
            connection,
            &[
                (TO_TARGET, b"ping"),
                (TO_CLIENT, &large),
                (TO_TARGET, b"thanks"),
            ],
        );
    }
    session.begin(3, Kind::SeqPacket);
    for record in [&b"first"[..], b"", b"third"] {
        session.record(3, TO_TARGET, record);
        session.record(3, TO_CLIENT, record);
    }
    session.end(3, TO_TARGET, DirectionEnd::Eof);
    session.end(3, TO_CLIENT, DirectionEnd::Eof);
    session
}

/// What `editcap` makes of a file; `None` where it is not installed.
fn edited(file: &Path, before: &[&str], after: &[&str]) -> Option<PathBuf> {
    let edited = file.with_extension("edited");
    let paths = [file.to_str().unwrap(), edited.to_str().unwrap()];
    run("editcap", before.iter().chain(&paths).chain(after))?;
    Some(edited)
}

/// The connections are what they were.
fn assert_same(file: &Path, rewritten: &Path) {
    let [one, other] = [file, rewritten].map(|file| Recording::open(file).unwrap());
    assert_eq!(one.connections().len(), other.connections().len());
    for (first, second) in one.connections().iter().zip(other.connections()) {
        assert_eq!(first.client(), second.client());
        assert!(second.is_complete(), "{second:?}");
        let times = |connection: &sockeye::capture::RecordedConnection| {
            let events = connection.events().iter();
            events.map(|event| event.time).collect::<Vec<_>>()
        };
        assert_eq!(times(first), times(second));
        for direction in [TO_TARGET, TO_CLIENT] {
            let [first, second] = [(&one, first), (&other, second)]
                .map(|(recording, connection)| bytes(recording, connection, direction));
            assert!(first == second, "other bytes");
        }
    }
}

#[test]
fn a_file_that_editcap_has_written_is_the_same_recording() {
    let file = session().file_and_directory();
    let Some(copy) = edited(&file.0, &[], &[]) else {
        return;
    };
    assert_same(&file.0, &copy);
}

#[test]
fn a_file_that_tshark_has_written_is_the_same_recording() {
    let file = session().file_and_directory();
    let copy = file.0.with_extension("copy");
    let arguments = ["-r", file.0.to_str().unwrap(), "-w", copy.to_str().unwrap()];
    if run("tshark", arguments).is_some() {
        assert_same(&file.0, &copy);
    }
}

#[test]
fn frames_that_are_there_twice_or_in_another_order_change_nothing() {
    let file = session().file_and_directory();
    let copy = file.0.with_extension("merged");
    let mut arguments = vec!["-a".to_owned(), "-w".to_owned(), copy.display().to_string()];
    let parts = ["1-4", "6-9", "5", "11", "10", "12-30", "2-20", "31-60"];
    for (n, frames) in parts.into_iter().enumerate() {
        let Some(part) = edited(&file.0, &["-r"], &[frames]) else {
            return;
        };
        let renamed = part.with_extension(n.to_string());
        fs::rename(part, &renamed).unwrap();
        arguments.push(renamed.display().to_string());
    }
    if run("mergecap", arguments).is_some() {
        let [one, other] = [&file.0, &copy].map(|file| Recording::open(file).unwrap());
        assert_eq!(other.packets(), one.packets() + 19);
        assert_same(&file.0, &copy);
    }
}

#[test]
fn a_part_of_a_recording_has_holes_where_frames_are_missing() {
    let file = session().file_and_directory();
    // Of the first stream: without its handshake, without the second half of the answer.
    let Some(part) = edited(&file.0, &["-r"], &["4-5", "7"]) else {
        return;
    };
    let recording = Recording::open(part).unwrap();
    let [connection] = recording.connections() else {
        panic!("{:?}", recording.connections());
    };
    assert!(!connection.has_begin() && !connection.has_end() && connection.has_hole());
    let parts: Vec<_> = connection.events().iter().map(|event| event.what).collect();
    let [
        RecordedPart::Bytes(ping),
        RecordedPart::Bytes(answer),
        RecordedPart::Missing(34_505),
        RecordedPart::Bytes(thanks),
    ] = &parts[..]
    else {
        panic!("{parts:?}");
    };
    assert_eq!([ping.len(), answer.len(), thanks.len()], [4, 65_495, 6]);
}

#[test]
fn a_missing_record_is_a_hole() {
    let file = session().file_and_directory();
    let frames = Recording::open(&file.0).unwrap().packets();
    // Of begin, six records and two ends the first record of the server is left out.
    let first = frames - 8;
    let all_but_one = [
        format!("{first}"),
        format!("{}", first + 2),
        format!("{}-{frames}", first + 3),
    ];
    let all_but_one = all_but_one.each_ref().map(String::as_str);
    let Some(part) = edited(&file.0, &["-r"], &all_but_one) else {
        return;
    };
    let recording = Recording::open(part).unwrap();
    let connection = recording.connections().last().unwrap();
    assert!(connection.is_record() && connection.has_hole());
    let events = connection.events().iter();
    let missing = events.filter(|event| matches!(event.what, RecordedPart::Missing(1)));
    assert_eq!(missing.count(), 1);
}

#[test]
fn tshark_and_the_reader_see_the_same_whole_blocks_of_a_cut_file() {
    let mut session = Session::new();
    let pairs = [
        (TO_TARGET, &b"GET / HTTP/1.1\r\n\r\n"[..]),
        (TO_CLIENT, &[7; 3000]),
    ];
    session.exchange(1, &pairs.repeat(20));
    session.begin(2, Kind::SeqPacket);
    session.record(2, TO_TARGET, vec![1; 400_000]);
    session.end(2, TO_TARGET, DirectionEnd::Eof);
    let file = session.file();
    let whole = fs::read(&file).unwrap();
    let seed: [u8; 32] = std::array::from_fn(|n| n as u8);
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut cuts = Vec::new();
    for n in 0..200 {
        // The last record would be hit most of the time.
        let most = if random.next_u32().is_multiple_of(8) {
            whole.len()
        } else {
            70_000
        };
        let length = 52 + random.next_u64() as usize % (most - 52);
        let cut = file.with_extension(n.to_string());
        fs::write(&cut, &whole[..length]).unwrap();
        cuts.push((cut, length as u64));
    }
    // Starting tshark takes most of its time; capinfos reads files as it does, and many at once.
    let paths = cuts.iter().map(|(cut, _)| cut.to_str().unwrap());
    let Some(seen) = output(
        "capinfos",
        ["-c", "-M", "-T", "-r", "-m"].into_iter().chain(paths),
    ) else {
        return;
    };
    let seen = String::from_utf8(seen.stdout).unwrap();
    assert_eq!(seen.lines().count(), cuts.len());
    for (line, (cut, length)) in seen.lines().zip(&cuts) {
        let recording = Recording::open(cut).unwrap();
        assert!(recording.cut().is_none_or(|end| end < *length));
        let count = recording.packets().to_string();
        assert_eq!(line.rsplit(',').next(), Some(&*count), "cut at {length}");
    }
    for (cut, length) in cuts.iter().step_by(20) {
        let arguments = [
            "-r",
            cut.to_str().unwrap(),
            "-T",
            "fields",
            "-e",
            "frame.number",
        ];
        let seen = output("tshark", arguments).unwrap().stdout;
        let seen = seen.iter().filter(|byte| **byte == b'\n').count();
        let recording = Recording::open(cut).unwrap();
        assert_eq!(seen as u64, recording.packets(), "cut at {length}");
    }
}
