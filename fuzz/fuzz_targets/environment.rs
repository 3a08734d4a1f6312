//! Any LISTEN_* and NOTIFY_SOCKET is understood or refused.
#![no_main]
// Compiled as it stands in the command, which is no library.
#![allow(dead_code)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

#[path = "../../crates/sockeye-cli/src/cmd/listening/notify.rs"]
mod notify;

const NAMES: [&str; 4] = [
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

libfuzzer_sys::fuzz_target!(|input: ([Option<Vec<u8>>; 4], bool, Vec<u8>)| {
    let (values, is_for_us, manager) = input;
    let [pid, rest @ ..] = values.map(|value| value.map(OsString::from_vec));
    let pid = if is_for_us { Some("77".into()) } else { pid };
    let mut variables = NAMES.into_iter().zip([pid].into_iter().chain(rest));
    let variables: Vec<(&str, Option<OsString>)> = variables.by_ref().collect();
    let find = |name: &'static str| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.and_then(|(_, value)| value.clone())
    };
    if let Ok(Some((count, names))) = sockeye::fuzzing::announced(find, 77) {
        assert!(names.is_empty() || names.len() == count);
    }
    let _ = notify::Manager::at(&OsString::from_vec(manager));
});
