//! What came from elsewhere, made harmless for a terminal and a log.

use std::fmt::{self, Write};

/// Shows bytes as text: C0, DEL and C1 control characters and what is not UTF-8 are escaped.
pub(crate) fn bytes(bytes: &[u8]) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        for chunk in bytes.utf8_chunks() {
            let valid = chunk.valid();
            let mut shown = 0;
            for (at, c) in valid.char_indices().filter(|(_, c)| c.is_control()) {
                f.write_str(&valid[shown..at])?;
                shown = at + c.len_utf8();
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                }
            }
            f.write_str(&valid[shown..])?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    })
}

/// As [`bytes()`], for text.
pub(crate) fn text(text: &str) -> impl fmt::Display {
    bytes(text.as_bytes())
}

/// Escapes DEL and C1 in JSON, where the standard lets them stand. They can be nowhere but inside
/// of its strings.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{:04x}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_text_stays() {
        let shown = |input: &[u8]| bytes(input).to_string();
        assert_eq!(shown("Grüße \\ ☺".as_bytes()), "Grüße \\ ☺");
        assert_eq!(
            shown(b"a\x1b[2J\x7f\r\n\t\0"),
            "a\\x1b[2J\\x7f\\r\\n\\t\\x00"
        );
        assert_eq!(shown("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(shown(b"\xff\x9b"), "\\xff\\x9b");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let safe = json("\"a\u{9b}\u{7f}é\"");
        assert_eq!(safe, "\"a\\u009b\\u007fé\"");
        let back: String = serde_json::from_str(&safe).unwrap();
        assert_eq!(back, "a\u{9b}\u{7f}é");
    }
}
