//! Text that others chose, escaped to be safe for a terminal and a log.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

use sockeye::address::is_hidden;

/// Shows a message as text, so that an escape cannot be forged: backslashes, characters that
/// [`is_hidden`] and what is not UTF-8 are escaped.
pub(crate) fn bytes(bytes: &[u8]) -> impl Display {
    fmt::from_fn(move |f| write(f, bytes, |c| (c == '\\').then_some("\\\\")))
}

/// A line of parts that are escaped already and text of our own: nothing is escaped twice.
pub(crate) fn line(line: &str) -> impl Display {
    fmt::from_fn(move |f| write(f, line.as_bytes(), |_| None))
}

/// A name that somebody else chose, as one word: in quotes, unless it is plain.
pub(crate) fn name(name: &[u8]) -> impl Display {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.+/:@".contains(c);
    let plain = str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.chars().all(is_plain));
    fmt::from_fn(move |f| match plain {
        Some(plain) => f.write_str(plain),
        None => write!(f, "{}", quoted(name)),
    })
}

/// Always in quotes.
pub(crate) fn quoted(bytes: &[u8]) -> impl Display {
    fmt::from_fn(move |f| {
        let special = |c| match c {
            '\\' => Some("\\\\"),
            '"' => Some("\\\""),
            _ => None,
        };
        f.write_char('"')?;
        write(f, bytes, special)?;
        f.write_char('"')
    })
}

/// An address as [`sockeye::Address`] prints it, in one word. In quotes if it has blanks, or if a path
/// has escapes: on the command line a quoted path is read with its escapes decoded, an unquoted one
/// literally.
pub(crate) fn address(address: &str) -> impl Display {
    let plain = |c: char| !c.is_whitespace() && c != '"';
    let is_plain = !has_escapes(address) && address.chars().all(plain) && address != "?";
    fmt::from_fn(move |f| {
        if is_plain {
            f.write_str(address)
        } else {
            f.write_str(&in_quotes(address))
        }
    })
}

/// As [`address`], in a JSON string, where blanks do no harm.
pub(crate) fn json_address(address: Cow<'_, str>) -> Cow<'_, str> {
    if has_escapes(&address) || address.starts_with('"') {
        in_quotes(&address).into()
    } else {
        address
    }
}

fn has_escapes(address: &str) -> bool {
    // An abstract name is always read with its escapes.
    address.contains('\\') && !address.starts_with('@')
}

fn in_quotes(address: &str) -> String {
    format!("\"{}\"", address.replace('"', "\\x22"))
}

fn write(
    f: &mut fmt::Formatter<'_>,
    bytes: &[u8],
    special: impl Fn(char) -> Option<&'static str>,
) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut shown = 0;
        for (at, c) in valid.char_indices() {
            let special = special(c);
            if special.is_none() && !is_hidden(c) {
                continue;
            }
            f.write_str(&valid[shown..at])?;
            shown = at + c.len_utf8();
            match (special, c) {
                (Some(special), _) => f.write_str(special)?,
                (None, '\n') => f.write_str("\\n")?,
                (None, '\r') => f.write_str("\\r")?,
                (None, '\t') => f.write_str("\\t")?,
                (None, c) if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c))?,
                (None, c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            }
        }
        f.write_str(&valid[shown..])?;
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Escapes in JSON what [`is_hidden`], though the standard permits it. It can only be inside of strings.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn controls_are_shown_and_text_stays() {
        let shown = |input: &[u8]| bytes(input).to_string();
        assert_eq!(shown("Grüße ☺".as_bytes()), "Grüße ☺");
        assert_eq!(
            shown(b"a\x1b[2J\x7f\r\n\t\0"),
            "a\\x1b[2J\\x7f\\r\\n\\t\\x00"
        );
        assert_eq!(shown("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(shown("a\u{202e}\u{200b}".as_bytes()), "a\\u{202e}\\u{200b}");
        assert_eq!(shown(b"\xff\x9b"), "\\xff\\x9b");
    }

    #[test]
    fn an_escape_cannot_be_forged() {
        assert_eq!(bytes(b"\\x1b\x1b").to_string(), "\\\\x1b\\x1b");
        assert_eq!(line("\\\\x1b\x1b").to_string(), "\\\\x1b\\x1b");
    }

    #[test]
    fn names_are_one_word() {
        let shown = |input: &[u8]| name(input).to_string();
        assert_eq!(shown(b"kworker/0:1-events"), "kworker/0:1-events");
        assert_eq!(shown("größe".as_bytes()), "größe");
        assert_eq!(shown(b"a) uid 0: x"), "\"a) uid 0: x\"");
        assert_eq!(shown(b"a\" b\\"), "\"a\\\" b\\\\\"");
        assert_eq!(shown(b"(sd-pam)"), "\"(sd-pam)\"");
        assert_eq!(shown(b"?"), "\"?\"");
        assert_eq!(shown(b""), "\"\"");
        assert_eq!(shown(b"a\xff\n"), "\"a\\xff\\n\"");
    }

    #[test]
    fn addresses_are_one_word() {
        let shown = |input: &str| address(input).to_string();
        assert_eq!(shown("/run/app.sock"), "/run/app.sock");
        assert_eq!(shown("/a  b (removed)"), "\"/a  b (removed)\"");
        assert_eq!(shown("/a\"\u{a0}b"), "\"/a\\x22\u{a0}b\"");
        assert_eq!(shown("?"), "\"?\"");
        assert_eq!(shown("/caf\\xe9"), "\"/caf\\xe9\"");
        assert_eq!(shown("@caf\\xe9"), "@caf\\xe9");
        let json = |input: &'static str| json_address(input.into());
        assert_eq!(json("/caf\\xe9"), "\"/caf\\xe9\"");
        assert_eq!(json("/a  b"), "/a  b");
        assert_eq!(json("\"a"), "\"\\x22a\"");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let safe = json("\"a\u{9b}\u{7f}é\u{202e}\u{e0041}\"");
        assert_eq!(safe, "\"a\\u009b\\u007fé\\u202e\\udb40\\udc41\"");
        let back: String = serde_json::from_str(&safe).unwrap();
        assert_eq!(back, "a\u{9b}\u{7f}é\u{202e}\u{e0041}");
    }

    proptest! {
        #[test]
        fn what_is_quoted_ends_with_its_quote(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = quoted(&name).to_string();
            let mut inside = text[1..text.len() - 1].chars();
            while let Some(c) = inside.next() {
                prop_assert!(c != '"' && !is_hidden(c));
                if c == '\\' {
                    prop_assert!(inside.next().is_some());
                }
            }
        }
    }
}
