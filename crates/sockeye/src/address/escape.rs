//! Names that others chose, made safe to print, in the form in which an address takes them back.

use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;

/// Shows a path or a name as an [`Address`](super::Address) takes it back: `\\` is a backslash,
/// and `\xNN` is a byte that is not text, or one of a character that [`is_hidden`].
///
/// ```
/// use std::ffi::OsStr;
/// use std::os::unix::ffi::OsStrExt;
/// use sockeye::address::escaped;
///
/// assert_eq!(escaped("/run/app.sock").to_string(), "/run/app.sock");
/// assert_eq!(escaped("a\\b\x1b").to_string(), "a\\\\b\\x1b");
/// assert_eq!(escaped(OsStr::from_bytes(b"caf\xe9")).to_string(), "caf\\xe9");
/// ```
pub fn escaped<T: AsRef<OsStr> + ?Sized>(name: &T) -> impl Display {
    fmt::from_fn(move |f| write(f, name.as_ref().as_bytes(), "\\\\"))
}

/// As [`escaped`], for a text that has its backslashes escaped already.
pub(super) fn made_visible(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    write(f, text, "\\")
}

fn write(f: &mut fmt::Formatter<'_>, bytes: &[u8], backslash: &str) -> fmt::Result {
    let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
        let mut bytes = bytes.iter();
        bytes.try_for_each(|byte| write!(f, "\\x{byte:02x}"))
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => f.write_str(backslash)?,
                c if is_hidden(c) => hex(f, c.encode_utf8(&mut [0; 4]).as_bytes())?,
                c => f.write_char(c)?,
            }
        }
        hex(f, chunk.invalid())?;
    }
    Ok(())
}

/// Whether a character shows nothing by itself, or changes how its neighbours are shown: control
/// characters, line and paragraph separators, what sets the direction of a text (UAX #9), and what
/// has no width (`Default_Ignorable_Code_Point` and `Cf` of Unicode 16).
#[must_use]
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}'
        | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
        | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Undoes [`escaped`]. What begins with a backslash and is no escape is returned as the error, at
/// most four bytes of it.
pub(super) fn unescaped(text: &[u8]) -> Result<Vec<u8>, &[u8]> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (value, length) = match (byte, tail) {
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => return Err(&rest[..4]),
            },
            (b'\\', _) => return Err(rest.get(..4).unwrap_or(rest)),
            _ => (byte, 1),
        };
        name.push(value);
        rest = &rest[length..];
    }
    Ok(name)
}

fn digit(byte: u8) -> Option<u8> {
    // A hexadecimal digit is below 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_no_shape_of_its_own_is_escaped() {
        let hidden = "\0\n\x1b\x7f\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}";
        for c in hidden.chars() {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in "aß☺ é\u{301}日\u{a0}א\u{2000}".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
        assert_eq!(escaped("a\u{202e}b").to_string(), "a\\xe2\\x80\\xaeb");
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = escaped(OsStr::from_bytes(&name)).to_string();
            prop_assert!(!text.chars().any(is_hidden));
            prop_assert_eq!(unescaped(text.as_bytes()), Ok(name));
        }
    }
}
