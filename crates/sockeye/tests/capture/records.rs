//! Records and datagrams, as tshark sees them.

use sockeye::Kind;
use sockeye::capture::RecorderOptions;
use sockeye::relay::DirectionEnd;

use crate::support::{Session, TO_CLIENT, TO_TARGET, fields};

#[test]
fn a_record_of_any_size_is_one_frame() {
    let mut session = Session::new();
    session.begin(1, Kind::SeqPacket);
    for size in [0, 1, 100_000, 300_000, 1_000_000] {
        session.record(1, TO_TARGET, vec![7; size]);
        session.record(1, TO_CLIENT, vec![7; size]);
    }
    session.end(1, TO_TARGET, DirectionEnd::Eof);
    session.end(1, TO_CLIENT, DirectionEnd::Eof);
    let file = session.file();
    // The last of these fields is the number of the record, which other frames do not have.
    let names = [
        "frame.packet_flags_direction",
        "data.len",
        "exported_pdu.orig_fno",
    ];
    let Some(found) = fields(&file, "exported_pdu.orig_fno", &names) else {
        return;
    };
    // More than 255 KiB of one record are in blocks that tshark skips.
    let sizes = ["", "1", "100000", "261120", "261120"];
    let expected = sizes.iter().enumerate();
    let expected =
        expected.flat_map(|(n, size)| [1, 2].map(|way| format!("{way}\t{size}\t{}", n + 1)));
    let found: Vec<_> = found
        .iter()
        .map(|line| line.replace("0x0000000", ""))
        .collect();
    assert_eq!(found, expected.collect::<Vec<_>>());
    let all = fields(&file, "frame", &["frame.number"]);
    assert_eq!(all.map(|frames| frames.len()), Some(13));
}

#[test]
fn a_record_is_dissected_by_name() {
    let mut session = Session::with(&RecorderOptions::new("/run/dns.sock").dissector("dns"));
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04test\0\0\x01\0\x01";
    session.begin(1, Kind::Datagram);
    session.record(1, TO_TARGET, &query[..]);
    session.end(1, TO_TARGET, DirectionEnd::Eof);
    let Some(found) = fields(&session.file(), "dns", &["dns.qry.name", "ip.src", "udp"]) else {
        return;
    };
    assert_eq!(found, ["test\t127.0.0.2\t"]);
}
