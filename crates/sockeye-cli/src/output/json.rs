//! JSON lines.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::escape;

/// Writes one object and a newline, safe for a terminal.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Safe))?;
    out.write_all(b"\n")
}

/// Compact JSON, with invisible characters escaped inside of strings.
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        if fragment.is_ascii() && !fragment.contains('\x7f') {
            writer.write_all(fragment.as_bytes())
        } else {
            writer.write_all(escape::json(fragment).as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_nothing_that_is_not_seen() {
        let mut out = Vec::new();
        line(&mut out, &["a\u{9b}\u{7f}é\u{202e}\n", "é"]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "[\"a\\u009b\\u007fé\\u202e\\n\",\"é\"]\n");
        let back: [String; 2] = serde_json::from_str(&text).unwrap();
        assert_eq!(back[0], "a\u{9b}\u{7f}é\u{202e}\n");
    }
}
