//! Any datagram of the kernel's is decoded or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = sockeye::inspect::diag::decode(bytes, &mut Vec::new());
});
