//! Names that others chose, escaped to be safe to print; an address parses the escapes.

use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;

use super::Address;

/// Shows a path or a name as an [`Address`](super::Address) parses it: `\\` is a backslash, and
/// `\xNN` is a byte that is not text, or one of a character that [`is_hidden`].
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

/// As [`escaped`], for a sentence: in double quotes where it could be read as more than a path, as
/// with a blank in it. A double quote within the quotes is `\x22`.
///
/// ```
/// use sockeye::address::quoted;
///
/// assert_eq!(quoted("/run/app.sock").to_string(), "/run/app.sock");
/// assert_eq!(quoted("/run/a (mode 0777)").to_string(), "\"/run/a (mode 0777)\"");
/// ```
pub fn quoted<T: AsRef<OsStr> + ?Sized>(name: &T) -> impl Display {
    fmt::from_fn(move |f| {
        let bytes = name.as_ref().as_bytes();
        let text = str::from_utf8(bytes).ok();
        match text.filter(|text| !text.is_empty() && text.chars().all(is_plain)) {
            Some(text) => f.write_str(text),
            None => f.write_str(&in_quotes(&escaped(name).to_string())),
        }
    })
}

/// Whether a character in a sentence can be nothing but part of a path.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_.+/:@,=~%#^".contains(c)
}

fn in_quotes(escaped: &str) -> String {
    format!("\"{}\"", escaped.replace('"', "\\x22"))
}

/// Shows a word so that a shell takes it as this one word and nothing else: a plain one as it is,
/// others in single quotes, and with bytes that cannot be printed as `$'…'` with octal escapes (POSIX
/// 2024; an older shell takes that for another word, but runs none of it).
///
/// ```
/// use sockeye::address::shell_quoted;
///
/// assert_eq!(shell_quoted("/run/app.sock").to_string(), "/run/app.sock");
/// assert_eq!(shell_quoted("x;id>y").to_string(), "'x;id>y'");
/// assert_eq!(shell_quoted("it's").to_string(), "'it'\\''s'");
/// assert_eq!(shell_quoted("a\n").to_string(), "$'a\\012'");
/// ```
pub fn shell_quoted<T: AsRef<OsStr> + ?Sized>(word: &T) -> impl Display {
    fmt::from_fn(move |f| {
        let bytes = word.as_ref().as_bytes();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+/:@,=%".contains(byte);
        match str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() && bytes.iter().all(is_plain) => f.write_str(text),
            Ok(text) if !text.chars().any(is_hidden) => {
                write!(f, "'{}'", text.replace('\'', "'\\''"))
            }
            _ => in_octal(f, bytes),
        }
    })
}

fn in_octal(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let octal = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
        let mut bytes = bytes.iter();
        bytes.try_for_each(|byte| write!(f, "\\{byte:03o}"))
    };
    f.write_str("$'")?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // A shell without `$'…'` ends its word at a quote, escaped or not.
            if is_hidden(c) || c == '\\' || c == '\'' {
                octal(f, c.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                f.write_char(c)?;
            }
        }
        octal(f, chunk.invalid())?;
    }
    f.write_char('\'')
}

impl Address {
    /// For a sentence: as [`Display`] shows it, in double quotes where it could be read as more than
    /// an address.
    #[must_use]
    pub fn quoted(&self) -> String {
        let text = self.to_string();
        // An abstract name is always read with its escapes.
        let escapes_fit = self.path().is_none();
        let is_plain = |c| is_plain(c) || c == '\\' && escapes_fit;
        if text.chars().all(is_plain) {
            text
        } else {
            in_quotes(&text)
        }
    }

    /// For a command that is to be pasted into a shell: an argument that names this address for the
    /// `sockeye` command.
    #[must_use]
    pub fn shell_quoted(&self) -> String {
        let text = self.to_string();
        let is_as_read = !text.contains(['\\', '"']) || text.starts_with('@');
        let word = match (is_as_read, text.starts_with('-')) {
            (true, true) => format!("./{text}"),
            (true, false) => text,
            (false, _) => in_quotes(&text),
        };
        shell_quoted(&word).to_string()
    }
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
/// characters, line and paragraph separators, what sets the direction of a text (UAX #9), what
/// has no width (`Default_Ignorable_Code_Point` and `Cf` of Unicode 16), the empty Braille pattern
/// and noncharacters.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let is_noncharacter = u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    is_noncharacter
        || matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}'
        | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
        | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
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
        let hidden = "\0\n\x1b\x7f\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}\u{2800}\u{fdd0}\u{fdef}\u{ffff}\u{1fffe}\u{10ffff}";
        for c in hidden.chars() {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in "aß☺ é\u{301}日\u{a0}א\u{2000}\u{2801}\u{fdf0}".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
        assert_eq!(escaped("a\u{202e}b").to_string(), "a\\xe2\\x80\\xaeb");
    }

    /// What a shell makes of a word: its arguments, or what it says of them.
    fn read_by(shell: &str, word: &str) -> Vec<u8> {
        let script = format!("printf '%s|' {word}");
        let mut command = std::process::Command::new(shell);
        command.args(["-c", &script]).output().unwrap().stdout
    }

    #[test]
    fn a_shell_runs_nothing_of_a_name() {
        for name in [
            "x;id>pwned;",
            "$(id)",
            "`id`",
            "a b",
            "it's",
            "\"$(id)\"",
            "a\\",
            "~",
            "*",
            "#x",
            "größe",
            "",
        ] {
            let word = shell_quoted(name).to_string();
            let expected = format!("{name}|").into_bytes();
            assert_eq!(read_by("sh", &word), expected, "{word}");
        }
        // dash has no $'...': it may not take more than one word of it all the same.
        let word = shell_quoted("\n'; echo pwned; '").to_string();
        let read = read_by("sh", &word);
        assert_eq!(read.iter().filter(|&&byte| byte == b'|').count(), 1);
        assert!(!read.ends_with(b"pwned\n|"), "{read:?}");
    }

    #[test]
    fn an_address_in_a_sentence_or_a_command_is_one_word() {
        let address = |text: &str| Address::parse(text).unwrap();
        assert_eq!(address("/run/app.sock").quoted(), "/run/app.sock");
        assert_eq!(address("@a\\x00").quoted(), "@a\\x00");
        assert_eq!(address("/a b").quoted(), "\"/a b\"");
        assert_eq!(address("/run/app.sock").shell_quoted(), "/run/app.sock");
        assert_eq!(address("dgram:/a b").shell_quoted(), "'dgram:/a b'");
        assert_eq!(address("@a\\x00").shell_quoted(), "'@a\\x00'");
        assert_eq!(address("/a\\xff").shell_quoted(), "'\"/a\\xff\"'");
        assert_eq!(address("-x").shell_quoted(), "./-x");
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = escaped(OsStr::from_bytes(&name)).to_string();
            prop_assert!(!text.chars().any(is_hidden));
            prop_assert_eq!(unescaped(text.as_bytes()), Ok(name));
        }

        #[test]
        fn a_shell_reads_any_word_as_it_is(name in prop::collection::vec(1u8.., 0..40)) {
            let word = shell_quoted(OsStr::from_bytes(&name)).to_string();
            prop_assert!(!word.chars().any(is_hidden));
            let mut expected = name;
            expected.push(b'|');
            // Not every sh has $'...' by now.
            let shell = if word.starts_with('$') { "bash" } else { "sh" };
            prop_assert_eq!(read_by(shell, &word), expected);
        }
    }
}
