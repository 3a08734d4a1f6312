//! Whatever the pieces are in which the bytes come, the same is found in them, and little is held.
#![no_main]
// Compiled as it stands in the command, which is no library.
#![allow(dead_code)]

use std::time::Instant;

use sockeye::relay::ObservedDirection::{ToClient, ToTarget};

#[path = "../../crates/sockeye-cli/src/output/http/mod.rs"]
mod http;

use http::HttpConnection;

/// Two heads, what may follow an upgrade, and 128 requests without a response.
const MOST_HELD: usize = 256 << 10;

/// What is found in a conversation: parts begin with a byte whose lowest bit is the direction, and whose
/// others are the size of the pieces, or 0 for one piece.
fn found(input: &[u8], at: Instant, is_split: bool) -> Vec<String> {
    let mut connection = HttpConnection::new();
    let mut events = Vec::new();
    for part in input.split(|&byte| byte == 0xfe) {
        let Some((first, bytes)) = part.split_first() else {
            continue;
        };
        let direction = if first & 1 == 0 { ToTarget } else { ToClient };
        let piece = if is_split { usize::from(first >> 1) } else { 0 };
        let piece = if piece == 0 { bytes.len().max(1) } else { piece };
        for bytes in bytes.chunks(piece) {
            connection.feed(direction, bytes, at, &mut |event| {
                events.push(format!("{event:?}"));
            });
            assert!(connection.held() <= MOST_HELD);
        }
    }
    for direction in [ToTarget, ToClient] {
        connection.end(direction, true, at, &mut |event| {
            events.push(format!("{event:?}"));
        });
    }
    events
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let at = Instant::now();
    assert_eq!(found(input, at, true), found(input, at, false));
});
