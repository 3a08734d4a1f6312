//! Whatever is shown has nothing hidden in it and tells what it was, and JSON keeps its meaning.
#![no_main]
// Compiled as it stands in the command, which is no library.
#![allow(dead_code)]

use sockeye::address::is_hidden;

#[path = "../../crates/sockeye-cli/src/escape.rs"]
mod escape;
#[path = "../../crates/sockeye-cli/src/output/json.rs"]
mod json;

/// What was shown as `text`.
fn meant(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let hex = |digits: String| u32::from_str_radix(&digits, 16).expect("digits");
        match c {
            '\\' => match rest.next().expect("no escape is truncated") {
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                'x' => bytes.push(hex(rest.by_ref().take(2).collect()) as u8),
                'u' => {
                    let digits = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    let c = char::from_u32(hex(digits)).expect("a character");
                    bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                }
                c => bytes.push(c as u8),
            },
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let shown = escape::bytes(bytes).to_string();
    assert!(!shown.contains(is_hidden), "{shown:?}");
    assert_eq!(meant(&shown), bytes);
    let name = escape::name(bytes).to_string();
    match name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    {
        Some(inside) => assert_eq!(meant(inside), bytes),
        None => assert!(name.as_bytes() == bytes && !name.contains([' ', '"', '(', ')', '\\'])),
    }

    let text = String::from_utf8_lossy(bytes);
    let mut line = Vec::new();
    json::line(&mut line, &[&text]).expect("a Vec takes everything");
    let line = String::from_utf8(line).expect("JSON is text");
    let line = line.strip_suffix('\n').expect("a line");
    assert!(!line.contains(is_hidden), "{line:?}");
    let back: [String; 1] = serde_json::from_str(line).expect("it is JSON");
    assert_eq!(back[0], text);
});
