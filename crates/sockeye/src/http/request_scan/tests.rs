//! The same ends are found in one piece, and in pieces of every size.

use super::*;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n";

/// The lengths of the parts that `bytes` is cut into, fed in pieces of `size`, where each head is followed by
/// the next of `bodies`.
fn parts(bytes: &[u8], size: usize, bodies: &[RequestBodyLength]) -> Vec<usize> {
    let mut scan = RequestScan::new();
    let mut bodies = bodies.iter();
    let (mut parts, mut at, mut length) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + size.min(scan.most()));
        let fed = scan.feed(&bytes[at..end]);
        assert!(fed > 0, "no progress at {at}");
        (at, length) = (at + fed, length + fed);
        if matches!(scan, RequestScan::HeadEnd) {
            scan.begin(*bodies.next().expect("as many bodies as heads"));
        }
        if scan.is_between() && fed > 0 {
            parts.push(length);
            length = 0;
        }
    }
    parts
}

fn assert_parts(requests: &[(&[u8], RequestBodyLength)]) {
    let bytes = requests.iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>();
    let lengths: Vec<usize> = bytes.iter().map(|bytes| bytes.len()).collect();
    let bodies: Vec<_> = requests.iter().map(|(_, body)| *body).collect();
    for size in 1..=bytes.concat().len() {
        let found = parts(&bytes.concat(), size, &bodies);
        assert_eq!(found, lengths, "in pieces of {size}");
    }
}

#[test]
fn heads_bodies_and_chunks_end_where_they_do() {
    use RequestBodyLength::{Chunked, Known};
    let sized = [HEAD, b"a\r\n\r\nb\n\nc"].concat();
    let chunked = [HEAD, b"A;x=y\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n"].concat();
    let trailers = [HEAD, b"3\r\n\r\n\r\r\n0\r\nA: b\r\n\r\n"].concat();
    let bare = b"GET / HTTP/1.1\nHost: localhost\n\n";
    assert_parts(&[
        (HEAD, Known(0)),
        (&sized, Known(9)),
        (&chunked, Chunked),
        (bare, Known(0)),
        (&trailers, Chunked),
        (&sized, Known(9)),
    ]);
}

#[test]
fn empty_lines_before_a_request_are_no_request() {
    let mut scan = RequestScan::new();
    scan.feed(b"\r\n\n\r");
    assert!(scan.is_between());
    assert_eq!(scan.feed(b"\nGET / HTTP/1.1\r\n\r"), 18);
    assert!(scan.is_in_head());
    assert_eq!(scan.feed(b"\nGET"), 1);
    assert!(matches!(scan, RequestScan::HeadEnd));
}
