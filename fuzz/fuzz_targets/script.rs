//! The first line of any script names an interpreter or none.
#![no_main]

use std::os::unix::ffi::OsStrExt;

libfuzzer_sys::fuzz_target!(|head: &[u8]| {
    if let Some(interpreter) = sockeye::fuzzing::interpreter(head) {
        let name = interpreter.as_os_str().as_bytes();
        assert!(head.starts_with(b"#!") && name.len() <= head.len() - 2);
        assert!(!name.contains(&b'\n') && !name.contains(&0));
    }
});
