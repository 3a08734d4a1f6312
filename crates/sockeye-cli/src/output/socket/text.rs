//! A socket as text.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sockeye::address::{escaped, is_hidden};
use sockeye::inspect::{BoundName, FileState, Holder, Process, Socket, SocketFile, SocketState};
use sockeye::{Address, Kind, Name};

use crate::escape;
use crate::lookup::stopped::Stopped;

/// As `--kind` takes it.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Stream => "stream",
        Kind::SeqPacket => "seqpacket",
        Kind::Datagram => "datagram",
    }
}

pub(crate) fn state(state: SocketState) -> &'static str {
    match state {
        SocketState::Listening => "listening",
        SocketState::Connected => "connected",
        SocketState::Pending => "pending",
        SocketState::Bound => "bound",
        SocketState::Unconnected => "unconnected",
        SocketState::Closed => "closed",
    }
}

pub(crate) fn file_state(state: FileState) -> &'static str {
    match state {
        FileState::Present => "present",
        FileState::Replaced => "replaced",
        FileState::Removed => "removed",
    }
}

/// A name as an [`Address`] prints it, without the kind.
pub(crate) fn address(name: &BoundName) -> Cow<'_, str> {
    match name {
        BoundName::Path(path) => path_address(path),
        BoundName::Abstract(name) => {
            match Address::new(Kind::Stream, &Name::Abstract(name.clone())) {
                Ok(address) => address.to_string().into(),
                // The kernel allows the empty name, which an address cannot have.
                Err(_) => "@".into(),
            }
        }
    }
}

/// As [`address`], for a path.
pub(crate) fn path_address(path: &[u8]) -> Cow<'_, str> {
    let is_plain = |c: char| c != '\\' && !is_hidden(c);
    match str::from_utf8(path) {
        Ok(path) if path.starts_with('/') && path.chars().all(is_plain) => path.into(),
        _ => match Address::from_path(OsStr::from_bytes(path)) {
            // Bare, it would be read as an option.
            Ok(address) if path.starts_with(b"-") => format!("./{address}").into(),
            Ok(address) => address.to_string().into(),
            Err(_) => escaped(OsStr::from_bytes(path)).to_string().into(),
        },
    }
}

/// The name of a process, escaped, since the process chose it; `?` if it is not known.
pub(crate) fn command(name: Option<&[u8]>) -> impl Display {
    fmt::from_fn(move |f| match name {
        Some(name) => write!(f, "{}", escape::name(name)),
        None => f.write_char('?'),
    })
}

/// The name that was bound, if the file was renamed since; its last part if that was in the same
/// directory. A name that leads through an fd of /proc says nothing.
fn bound_as(socket: &Socket) -> Option<&[u8]> {
    let Some(BoundName::Path(name)) = &socket.name else {
        return None;
    };
    let (name, now) = (
        Path::new(OsStr::from_bytes(name)),
        socket.file_path.as_ref()?,
    );
    let is_moved = name.parent() != now.parent() && !name.starts_with("/proc");
    if is_moved {
        Some(name.as_os_str().as_bytes())
    } else if name.file_name() != now.file_name() {
        Some(name.file_name()?.as_bytes())
    } else {
        None
    }
}

/// `/run/app.sock (replaced)`, `/run/app.sock (bound as app.tmp)`
pub(crate) fn write_address(out: &mut impl Write, socket: &Socket) -> fmt::Result {
    let Some(name) = &socket.name else {
        return out.write_char('-');
    };
    let address = match &socket.file_path {
        Some(path) => path_address(path.as_os_str().as_bytes()),
        None => address(name),
    };
    write!(out, "{}", escape::address(&address))?;
    if let Some(name) = bound_as(socket) {
        write!(out, " (bound as {})", escape::address(&path_address(name)))?;
    }
    match socket.file {
        None => Ok(()),
        Some(file) if file.state != Some(FileState::Present) => {
            write!(out, " (")?;
            write_file(out, &file)?;
            out.write_char(')')
        }
        Some(file) if file.elsewhere => out.write_str(" (elsewhere)"),
        Some(_) => Ok(()),
    }
}

/// `removed`, or `removed elsewhere`: in another mount namespace or root directory.
pub(crate) fn write_file(out: &mut impl Write, file: &SocketFile) -> fmt::Result {
    out.write_str(file.state.map_or("?", file_state))?;
    if file.elsewhere {
        out.write_str(" elsewhere")
    } else {
        Ok(())
    }
}

/// If there are more holders, only their number is shown, to keep rows short.
const FEW: usize = 4;

/// `4242/appd`, or `4242/appd,4250/worker (stopped)`; with `brief` `4242/appd (T) +1`.
pub(crate) fn write_processes(
    out: &mut impl Write,
    holders: Option<&[Holder]>,
    stopped: &Stopped,
    brief: bool,
) -> fmt::Result {
    write_holders(out, holders, brief, distinct, |out, holder| {
        let Process { pid, command, .. } = &*holder.process;
        write!(out, "{pid}/{}", self::command(command.as_deref()))?;
        match (stopped.has(*pid), brief) {
            (false, _) => Ok(()),
            (true, false) => out.write_str(" (stopped)"),
            (true, true) => out.write_str(" (T)"),
        }
    })
}

/// The fds, in the order of [`write_processes`] if each process has one.
pub(crate) fn write_fds(
    out: &mut impl Write,
    holders: Option<&[Holder]>,
    brief: bool,
) -> fmt::Result {
    write_holders(out, holders, brief, <[Holder]>::len, |out, holder| {
        write!(out, "{}", holder.fd)
    })
}

fn distinct(holders: &[Holder]) -> usize {
    // They are sorted by process.
    holders
        .chunk_by(|a, b| a.process.pid == b.process.pid)
        .count()
}

fn write_holders<W: Write>(
    out: &mut W,
    holders: Option<&[Holder]>,
    brief: bool,
    count: impl Fn(&[Holder]) -> usize,
    write: impl Fn(&mut W, &Holder) -> fmt::Result,
) -> fmt::Result {
    let Some(holders) = holders else {
        return out.write_char('?');
    };
    let Some(first) = holders.first() else {
        return out.write_char('-');
    };
    let count = count(holders);
    write(out, first)?;
    if count == 1 {
        return Ok(());
    }
    if brief || holders.len() > FEW {
        return write!(out, " +{}", count - 1);
    }
    for holder in &holders[1..] {
        out.write_char(',')?;
        write(out, holder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn holders(of: &[(i32, i32)]) -> Vec<Holder> {
        let holder = |&(pid, fd)| Holder {
            process: Arc::new(Process {
                pid,
                command: Some(b"a b\x1b".to_vec()),
                uid: Some(0),
            }),
            fd,
        };
        of.iter().map(holder).collect()
    }

    fn shown(of: &[(i32, i32)], brief: bool) -> [String; 2] {
        let holders = holders(of);
        let mut texts = [String::new(), String::new()];
        write_processes(&mut texts[0], Some(&holders), &Stopped::default(), brief).unwrap();
        write_fds(&mut texts[1], Some(&holders), brief).unwrap();
        texts
    }

    #[test]
    fn holders_are_listed_or_counted() {
        assert_eq!(shown(&[], false), ["-", "-"]);
        assert_eq!(shown(&[(1, 3)], false), ["1/\"a b\\x1b\"", "3"]);
        assert_eq!(shown(&[(1, 3), (1, 5)], false), ["1/\"a b\\x1b\"", "3,5"]);
        assert_eq!(
            shown(&[(1, 3), (2, 4)], false),
            ["1/\"a b\\x1b\",2/\"a b\\x1b\"", "3,4"]
        );
        assert_eq!(
            shown(&[(1, 3), (2, 4)], true),
            ["1/\"a b\\x1b\" +1", "3 +1"]
        );
        let many: Vec<_> = (1..=5).map(|pid| (pid, 3)).collect();
        assert_eq!(shown(&many, false), ["1/\"a b\\x1b\" +4", "3 +4"]);
        let mut text = String::new();
        write_processes(&mut text, None, &Stopped::default(), false).unwrap();
        assert_eq!(text, "?");
    }

    #[test]
    fn addresses_parse_back() {
        let path = |path: &[u8]| BoundName::Path(path.to_vec());
        assert_eq!(address(&path(b"/run/a b\nc")), "/run/a b\\x0ac");
        assert_eq!(address(&path(b"/caf\\xe9")), "/caf\\\\xe9");
        assert_eq!(address(&path(b"app.sock")), "app.sock");
        assert_eq!(address(&path(b"@x")), "./@x");
        assert_eq!(address(&path(b"-x")), "./-x");
        assert_eq!(address(&path(b"--json\xff")), "./--json\\xff");
        assert_eq!(address(&path(b"/\xff")), "/\\xff");
        assert_eq!(
            address(&BoundName::Abstract(b"a\0\xff".to_vec())),
            "@a\\x00\\xff"
        );
    }
}
