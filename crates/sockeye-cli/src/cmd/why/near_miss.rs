//! [`NearMiss`]: a socket with a name that is easily mistaken for the one that was asked for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sockeye::inspect::{BoundName, Socket};
use sockeye::{Address, Name};

use super::listener::Who;
use crate::cmd::visibility::{VisibleSockets, is_reachable};

/// A socket with a similar name.
pub(super) struct NearMiss {
    /// Who has it, and what is different.
    pub(super) text: String,
    pub(super) advice: String,
}

impl NearMiss {
    /// Abstract names end where their length says, so a program that passes its whole `sockaddr_un`
    /// binds one that ends in NUL bytes. And some programs read `@` as an abstract name, others as the
    /// beginning of a path.
    pub(super) fn find(address: &Address, visible: &VisibleSockets) -> Option<Self> {
        let sockets = visible
            .sockets()
            .iter()
            .filter(|socket| is_reachable(socket));
        let here = |socket: &&Socket| {
            !matches!(socket.name, Some(BoundName::Abstract(_)))
                || socket.namespace == visible.namespace
        };
        let (socket, what) = sockets.filter(here).find_map(|socket| {
            Some((socket, difference(address.name(), socket.name.as_ref()?)?))
        })?;
        let name = match socket.name.as_ref()? {
            BoundName::Path(path) => Name::Path(OsStr::from_bytes(path).to_owned().into()),
            BoundName::Abstract(name) => Name::Abstract(name.clone()),
        };
        let other = Address::new(socket.kind, &name).ok()?;
        let who = Who::of(socket);
        Some(Self {
            text: format!("{who} {} {what}", who.does("has", "have")),
            advice: format!("did you mean {}?", other.shell_quoted()),
        })
    }
}

fn difference(wanted: &Name, bound: &BoundName) -> Option<String> {
    match (wanted, bound) {
        (Name::Abstract(wanted), BoundName::Abstract(bound)) => {
            let bare = |name: &[u8]| {
                let end = name.iter().rposition(|&byte| byte != 0);
                end.map_or(0, |end| end + 1)
            };
            let (ours, theirs) = (bare(wanted), bare(bound));
            if bound == wanted || ours == 0 || wanted[..ours] != bound[..theirs] {
                return None;
            }
            Some(match bound.len() - theirs {
                0 => "that name without the NUL bytes at its end".to_owned(),
                1 => "that name with a NUL byte at its end".to_owned(),
                count => format!("that name with {count} NUL bytes at its end"),
            })
        }
        (Name::Abstract(wanted), BoundName::Path(bound)) => {
            let name = Path::new(OsStr::from_bytes(bound)).file_name()?.as_bytes();
            let is_it = bound == wanted || name.strip_prefix(b"@") == Some(wanted);
            is_it.then(|| "a socket at a path of that name, and no abstract one".to_owned())
        }
        (Name::Path(wanted), BoundName::Abstract(bound)) => {
            let path = wanted.as_os_str().as_bytes();
            let end = bound.iter().rposition(|&byte| byte != 0)? + 1;
            let name = path.strip_prefix(b"./").unwrap_or(path);
            let is_it =
                [path, name, name.strip_prefix(b"@").unwrap_or(name)].contains(&&bound[..end]);
            is_it.then(|| "an abstract name like that, and no file".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_near(wanted: &str, bound: &BoundName) -> bool {
        let wanted = Address::parse(wanted).unwrap();
        difference(wanted.name(), bound).is_some()
    }

    #[test]
    fn nul_bytes_at_the_end_and_the_other_name_space() {
        let name = |name: &[u8]| BoundName::Abstract(name.to_vec());
        let path = |path: &[u8]| BoundName::Path(path.to_vec());
        assert!(are_near("@app", &name(b"app\0\0")));
        assert!(are_near("@app\\x00", &name(b"app")));
        assert!(!are_near("@app", &name(b"app")));
        assert!(!are_near("@app", &name(b"apps")));
        assert!(!are_near("@app", &name(b"\0\0")));
        assert!(are_near("@/run/app", &path(b"/run/app")));
        assert!(are_near("@app", &path(b"/run/@app")));
        assert!(!are_near("@app", &path(b"/run/app")));
        assert!(are_near("/run/app", &name(b"/run/app")));
        assert!(are_near("/run/app", &name(b"/run/app\0")));
        assert!(are_near("./@app", &name(b"app")));
        assert!(are_near("app", &name(b"app")));
        assert!(!are_near("/run/app", &name(b"app")));
        assert!(!are_near("/run/app", &path(b"/run/app")));
    }
}
