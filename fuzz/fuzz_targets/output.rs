//! Whatever is shown has no control characters, and JSON keeps its meaning.
#![no_main]
// Compiled as it stands in the command, which is no library.
#![allow(dead_code)]

#[path = "../../crates/sockeye-cli/src/output/escape.rs"]
mod escape;
#[path = "../../crates/sockeye-cli/src/output/json.rs"]
mod json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let shown = escape::bytes(bytes).to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");

    let text = String::from_utf8_lossy(bytes);
    let mut line = Vec::new();
    json::line(&mut line, &[&text]).expect("a Vec takes everything");
    let line = String::from_utf8(line).expect("JSON is text");
    let line = line.strip_suffix('\n').expect("a line");
    assert!(!line.contains(char::is_control), "{line:?}");
    let back: [String; 1] = serde_json::from_str(line).expect("it is JSON");
    assert_eq!(back[0], text);
});
