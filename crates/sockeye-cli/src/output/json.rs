//! JSON lines.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::escape;

/// Writes one object and a newline, safe for a terminal.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Safe))?;
    out.write_all(b"\n")
}

/// Compact, with DEL and C1 escaped inside of strings.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        // C1 begins with 0xc2 in UTF-8.
        match fragment.bytes().any(|byte| byte == 0x7f || byte == 0xc2) {
            true => writer.write_all(escape::json(fragment).as_bytes()),
            false => writer.write_all(fragment.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters() {
        let mut out = Vec::new();
        line(&mut out, &["a\u{9b}\u{7f}é\n", "é"]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "[\"a\\u009b\\u007fé\\n\",\"é\"]\n");
        let back: [String; 2] = serde_json::from_str(&text).unwrap();
        assert_eq!(back[0], "a\u{9b}\u{7f}é\n");
    }
}
