//! Any text is taken apart as a file of /proc, or passed over.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (&[u8], &str)| {
    let (text, id) = input;
    sockeye::fuzzing::proc(text, id);
    // A name may hold anything, and cannot be read as another field.
    if let Some(name) = text.get(..15) {
        let stat = [b"7 (", name, b") S 1 7 7 0 -1 4194560 1 2"].concat();
        assert_eq!(sockeye::fuzzing::flags(&stat), Some(4_194_560));
    }
});
