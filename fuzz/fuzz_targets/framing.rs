//! Any bytes, in any pieces, are messages of at most the limit, or refused, and none is lost.
#![no_main]

use bytes::BytesMut;
use sockeye::framing::{Codec, Framing};
use tokio_util::codec::Decoder;

libfuzzer_sys::fuzz_target!(|input: (u8, u8, u8, Vec<u8>)| {
    let (framing, limit, piece, bytes) = input;
    let framing = [Framing::Line, Framing::Length, Framing::Raw][usize::from(framing % 3)];
    let limit = usize::from(limit);
    let mut codec = Codec::new(framing, limit);
    let mut buffer = BytesMut::new();
    let mut size = 0;
    for part in bytes.chunks(usize::from(piece.max(1))) {
        buffer.extend_from_slice(part);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(message)) => {
                    assert!(framing == Framing::Raw || message.payload.len() <= limit);
                    size += message.size;
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    while let Ok(Some(message)) = codec.decode_eof(&mut buffer) {
        size += message.size;
    }
    assert_eq!(size + buffer.len(), bytes.len());
});
