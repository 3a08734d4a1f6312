//! The text of an address, and its parts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::escape::unescaped;
use super::{Kind, MAX_NAME, Name};

/// The prefixes of kinds, those of other tools too.
const KINDS: [(&str, Kind); 5] = [
    ("unix:", Kind::Stream),
    ("stream:", Kind::Stream),
    ("seqpacket:", Kind::SeqPacket),
    ("dgram:", Kind::Datagram),
    ("datagram:", Kind::Datagram),
];

/// Abstract names as gRPC writes them (grpc/doc/naming.md); its paths have the prefix `unix:`.
const GRPC_ABSTRACT: &[u8] = b"unix-abstract:";

/// Splits a leading `kind:` off; without one the kind is a stream.
pub(super) fn split_kind(text: &[u8]) -> (Kind, &[u8]) {
    KINDS
        .iter()
        .find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(prefix.as_bytes())?)))
        .map(|(kind, rest)| (kind, without_authority(text, rest)))
        .unwrap_or((Kind::Stream, text))
}

/// gRPC writes an absolute path as that of a URI, too: `unix:///run/app.sock`.
fn without_authority<'a>(text: &[u8], rest: &'a [u8]) -> &'a [u8] {
    if text.starts_with(b"unix:///") {
        &rest[2..]
    } else {
        rest
    }
}

/// What is wrong, and what to write instead.
type NameProblem = (String, &'static str);

pub(super) fn parse_name(text: &[u8]) -> Result<Name, NameProblem> {
    if let Some(rest) = text.strip_prefix(b"@").or(text.strip_prefix(GRPC_ABSTRACT)) {
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
    if is_url(text) {
        return Err((
            "a URL instead of a path".to_owned(),
            "write the path alone, or ./… for a file of this name",
        ));
    }
    parse_path(text)
}

/// Whether it begins with a scheme and `://` (RFC 3986).
fn is_url(text: &[u8]) -> bool {
    let Some(at) = text.windows(3).position(|part| part == b"://") else {
        return false;
    };
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    text.first().is_some_and(u8::is_ascii_alphabetic) && text[..at].iter().all(is_scheme)
}

fn parse_path(text: &[u8]) -> Result<Name, NameProblem> {
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
    let path = without_escapes(text)?;
    if let Some(at) = path.iter().position(|&b| b == 0) {
        return Err((
            format!("NUL byte at offset {at} of the path"),
            "a path cannot hold one; abstract names can, as @a\\x00b",
        ));
    }
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    if matches!(last, b"" | b"." | b"..") {
        return Err((
            "the path ends in a directory".to_owned(),
            "add the name of the socket file",
        ));
    }
    Ok(Name::Path(PathBuf::from(OsString::from_vec(path))))
}

fn parse_abstract(text: &[u8]) -> Result<Name, NameProblem> {
    let name = without_escapes(text)?;
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

fn without_escapes(text: &[u8]) -> Result<Vec<u8>, NameProblem> {
    unescaped(text).map_err(|wrong| {
        (
            format!("{:?} is not an escape", OsStr::from_bytes(wrong)),
            "write \\\\ for a backslash, or \\xNN for a byte (two hexadecimal digits)",
        )
    })
}
