use proptest::prelude::*;

use super::*;

/// Feeds what each side sends, in pieces of `size` bytes.
fn receive(wire: &mut Wire, text: &str, size: usize) {
    text.as_bytes()
        .chunks(size)
        .for_each(|piece| wire.receive(piece));
}

fn send(wire: &mut Wire, text: &str, size: usize) {
    text.as_bytes()
        .chunks(size)
        .for_each(|piece| wire.send(piece));
}

fn pass(wire: &mut Wire, bytes: &[u8], is_received: bool) {
    if is_received {
        wire.receive(bytes);
    } else {
        wire.send(bytes);
    }
}

/// A request, and a response whose last byte ends it.
const EXCHANGES: &[(&str, &str)] = &[
    (
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    ),
    (
        "\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ),
    (
        "POST / HTTP/1.1\nTransfer-Encoding: gzip, Chunked\n\n5;x=\"\"\r\nhello\r\n0\r\na: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "HEAD / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n",
    ),
    (
        "PRI / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    ),
];

proptest! {
    #[test]
    fn exchanges_of_http1_end_with_their_last_byte(
        at in prop::collection::vec(0..EXCHANGES.len(), 1..8),
        size in 1..80usize,
    ) {
        let mut wire = Wire::new();
        for (request, response) in at.into_iter().map(|at| EXCHANGES[at]) {
            prop_assert!(wire.is_idle());
            receive(&mut wire, &request[..request.len() - 1], size);
            prop_assert!(!wire.is_idle() && !wire.is_between());
            receive(&mut wire, &request[request.len() - 1..], size);
            prop_assert!(!wire.is_idle() && wire.is_between());
            send(&mut wire, &response[..response.len() - 1], size);
            prop_assert!(!wire.is_idle());
            send(&mut wire, &response[response.len() - 1..], size);
            prop_assert!(wire.is_idle());
        }
    }

    #[test]
    fn requests_that_are_sent_ahead_are_answered_in_order(
        at in prop::collection::vec(0..EXCHANGES.len(), 1..8),
        size in 1..80usize,
    ) {
        let mut wire = Wire::new();
        let both: Vec<_> = at.into_iter().map(|at| EXCHANGES[at]).collect();
        let requests: String = both.iter().map(|it| it.0).collect();
        let responses: String = both.iter().map(|it| it.1).collect();
        receive(&mut wire, &requests, size);
        prop_assert!(wire.is_between());
        send(&mut wire, &responses[..responses.len() - 1], size);
        prop_assert!(!wire.is_idle());
        send(&mut wire, &responses[responses.len() - 1..], size);
        prop_assert!(wire.is_idle());
    }

    #[test]
    fn nothing_that_a_peer_sends_is_a_panic(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        begins_with_preface in any::<bool>(),
    ) {
        let mut wire = Wire::new();
        if begins_with_preface {
            wire.receive(PREFACE);
        }
        for (is_received, bytes) in pieces {
            pass(&mut wire, &bytes, is_received);
            let _ = (wire.is_idle(), wire.is_between(), wire.is_in_head());
        }
    }

    #[test]
    fn streams_of_http2_are_open_until_their_response_ends(size in 1..40usize, early in 0..24usize) {
        let mut wire = Wire::new();
        let mut pieces = |bytes: &[u8], is_received: bool| {
            for piece in bytes.chunks(size) {
                pass(&mut wire, piece, is_received);
            }
            (wire.is_idle(), wire.take_goaway().is_some())
        };
        let settings = frame(4, 0, 0, 0);
        // The server has to begin with its settings, and need not wait for the preface.
        prop_assert_eq!(pieces(&[PREFACE, &settings].concat()[..early], true).1, false);
        prop_assert_eq!(pieces(&settings[..4], false), (early == 0, false));
        prop_assert_eq!(pieces(&[PREFACE, &settings].concat()[early..], true), (false, false));
        prop_assert_eq!(pieces(&settings[4..], false), (true, true));
        // Two requests; trailers of the first.
        let requests = [frame(1, 4, 1, 20), frame(1, 5, 3, 20), frame(0, 0, 1, 100), frame(1, 5, 1, 9)];
        prop_assert_eq!(pieces(&requests.concat(), true), (false, false));
        prop_assert_eq!(pieces(&[frame(1, 5, 1, 10), frame(1, 4, 3, 10)].concat(), false).0, false);
        prop_assert_eq!(pieces(&frame(0, 1, 3, 0), false).0, true);
        // The server resets what it does not want, and the client what it no longer wants.
        prop_assert_eq!(pieces(&[frame(1, 5, 5, 1), frame(1, 5, 7, 1)].concat(), true).0, false);
        prop_assert_eq!(pieces(&frame(3, 0, 5, 4), false).0, false);
        prop_assert_eq!(pieces(&frame(3, 0, 7, 4), true).0, true);
        // Half a frame.
        prop_assert_eq!(pieces(&frame(1, 5, 9, 30)[..12], true).0, false);
    }
}

fn frame(kind: u8, flags: u8, stream: u32, length: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, length, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.resize(9 + usize::from(length), 0xaa);
    frame
}

#[test]
fn a_beginning_that_may_be_either_protocol_is_a_head() {
    let mut wire = Wire::new();
    assert!(wire.is_idle() && !wire.is_in_head());
    wire.receive(b"PRI * HT");
    assert!(!wire.is_idle() && wire.is_in_head());
    wire.receive(b"TP/1.1\r\n");
    assert!(matches!(&wire, Wire::Http1(_)) && wire.is_in_head());
    wire.receive(b"\r\n");
    assert!(wire.is_between() && !wire.is_in_head());
}

#[test]
fn an_upgraded_connection_is_never_idle() {
    for (request, response) in [
        (
            "GET / HTTP/1.1\r\nupgrade: tcp\r\n\r\n",
            "HTTP/1.1 101 x\r\n\r\n",
        ),
        ("CONNECT a:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let mut wire = Wire::new();
        receive(&mut wire, request, 1000);
        send(&mut wire, response, 1000);
        send(&mut wire, "anything", 1000);
        assert!(!wire.is_idle() && !wire.is_between());
    }
}
