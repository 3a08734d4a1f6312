//! Any argument value is accepted, or refused with an error text, and what is taken is within its limits.
#![no_main]
// Compiled as it stands in the command, which is no library.
#![allow(dead_code)]

use std::time::Duration;

#[path = "../../crates/sockeye-cli/src/args/id.rs"]
mod id;
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
    if let Ok(owner) = values::owner(text) {
        let ids = [owner.user, owner.group];
        assert!(ids.iter().any(Option::is_some));
        let mut numbers = ids.iter().flatten().filter_map(id::TypedId::number);
        assert!(numbers.all(|number| number != u32::MAX));
    }
});
