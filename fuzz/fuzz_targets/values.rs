//! Any argument value is accepted, or refused with an error text, and what is taken is within its limits.
#![no_main]
// Compiled as it stands in the command, which is no library.
#![allow(dead_code)]

use std::time::Duration;

#[path = "../../crates/sockeye-cli/src/escape.rs"]
mod escape;
#[path = "../../crates/sockeye-cli/src/lookup"]
mod lookup {
    pub(crate) mod ids;
}
#[path = "../../crates/sockeye-cli/src/args/values.rs"]
mod values;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(size) = values::size(text) {
        assert!(size > 0 && u32::try_from(size).is_ok());
    }
    if let Ok(duration) = values::duration(text) {
        let _ = std::time::Instant::now().checked_add(duration);
        assert!(duration <= Duration::MAX);
    }
    if let Ok(mode) = values::mode(text) {
        assert!(mode <= 0o777);
    }
    if let Ok(count) = values::count(text) {
        assert!(count > 0);
    }
    // Names are looked up in the database of users; numbers are not.
    if !text.contains(|c: char| c.is_alphabetic()) {
        if let Ok(owner) = values::owner(text) {
            assert!(owner.uid.is_some() || owner.gid.is_some());
            assert!(owner.uid != Some(u32::MAX) && owner.gid != Some(u32::MAX));
        }
    }
});
