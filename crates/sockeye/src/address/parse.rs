//! The text of an address, and its parts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Kind, MAX_NAME, Name};

/// What stands in front of a name, as others write it too.
const KINDS: [(&str, Kind); 5] = [
    ("unix:", Kind::Stream),
    ("stream:", Kind::Stream),
    ("seqpacket:", Kind::SeqPacket),
    ("dgram:", Kind::Datagram),
    ("datagram:", Kind::Datagram),
];

/// Splits a leading `kind:` off; without one the kind is a stream.
pub(super) fn split_kind(text: &[u8]) -> (Kind, &[u8]) {
    KINDS
        .iter()
        .find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(prefix.as_bytes())?)))
        .unwrap_or((Kind::Stream, text))
}

/// What is wrong, and what to write instead.
type Fault = (String, &'static str);

pub(super) fn parse_name(text: &[u8]) -> Result<Name, Fault> {
    if let Some(rest) = text.strip_prefix(b"@") {
        return parse_abstract(rest);
    }
    if let Some(rest) = text.strip_prefix(b"fd:") {
        return str::from_utf8(rest)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Name::Fd)
            .ok_or_else(|| {
                let shown = String::from_utf8_lossy(rest).into_owned();
                (
                    format!("{shown:?} is not a descriptor number"),
                    "write fd:3, or ./fd:… for a file",
                )
            });
    }
    if let Some(rest) = text.strip_prefix(b"systemd:") {
        return match str::from_utf8(rest) {
            // sd_listen_fds(3): names are printable ASCII without colons
            Ok(name) if name.bytes().all(|b| b.is_ascii_graphic() && b != b':') => {
                Ok(Name::Systemd(name.to_owned()))
            }
            _ => Err((
                format!(
                    "{:?} is not a FileDescriptorName",
                    String::from_utf8_lossy(rest)
                ),
                "systemd's names are printable ASCII without a colon",
            )),
        };
    }
    for scheme in ["tcp:", "tls:", "vsock:"] {
        if text.starts_with(scheme.as_bytes()) {
            return Err((
                format!("{scheme:?} is not a kind of UNIX socket"),
                "write stream:, seqpacket: or dgram:, or ./… for a file of this name",
            ));
        }
    }
    parse_path(text)
}

fn parse_path(text: &[u8]) -> Result<Name, Fault> {
    if text.is_empty() {
        return Err((
            "the name is empty".to_owned(),
            "write a path or @name for an abstract name",
        ));
    }
    if text == b"-" {
        return Err((
            "\"-\" is standard input and output, not a socket".to_owned(),
            "write ./- for a file of this name",
        ));
    }
    if let Some(at) = text.iter().position(|&b| b == 0) {
        return Err((
            format!("NUL byte at offset {at} of the path"),
            "a path cannot hold one; abstract names can, as @a\\x00b",
        ));
    }
    let last = text.rsplit(|&b| b == b'/').next().unwrap_or_default();
    if matches!(last, b"" | b"." | b"..") {
        return Err((
            "the path ends in a directory".to_owned(),
            "add the name of the socket file",
        ));
    }
    Ok(Name::Path(PathBuf::from(OsStr::from_bytes(text))))
}

fn parse_abstract(text: &[u8]) -> Result<Name, Fault> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            name.push(byte);
            rest = tail;
            continue;
        }
        let digits = tail.strip_prefix(b"x").and_then(|hex| hex.get(..2));
        let value = digits
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(value) = value else {
            let shown = String::from_utf8_lossy(rest.get(..4).unwrap_or(rest)).into_owned();
            return Err((
                format!("{shown:?} is not an escape"),
                "write \\xNN with two hexadecimal digits, and \\x5c for a backslash",
            ));
        };
        name.push(value);
        rest = &tail[3..];
    }
    if name.is_empty() {
        return Err((
            "the abstract name is empty".to_owned(),
            "write at least one character after the @",
        ));
    }
    if name.len() > MAX_NAME {
        return Err((
            format!("the abstract name has {} bytes", name.len()),
            "the kernel takes at most 107",
        ));
    }
    Ok(Name::Abstract(name))
}

/// Text stays; control characters, backslashes and what is not UTF-8 become `\xNN`.
pub(super) fn escape_abstract(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                let mut utf8 = [0; 4];
                push_hex(&mut text, c.encode_utf8(&mut utf8).as_bytes());
            } else {
                text.push(c);
            }
        }
        push_hex(&mut text, chunk.invalid());
    }
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}
