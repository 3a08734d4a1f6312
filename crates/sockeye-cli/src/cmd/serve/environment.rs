//! The environment variables of a program, as s6-ipcserver or unixserver set them.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use rustix::net::SocketAddrUnix;
use rustix::process::{getgid, getuid};
use sockeye::program::Environment;
use sockeye::{Address, Name, Peer, activation, peer};

use crate::args::VariableNames;

const IPC: [&str; 7] = [
    "PROTO",
    "IPCLOCALPATH",
    "IPCREMOTEPATH",
    "IPCREMOTEEUID",
    "IPCREMOTEEGID",
    "IPCREMOTEPID",
    "IPCCONNNUM",
];
const UCSPI: [&str; 8] = [
    "PROTO",
    "UNIXLOCALPATH",
    "UNIXLOCALUID",
    "UNIXLOCALGID",
    "UNIXLOCALPID",
    "UNIXREMOTEEUID",
    "UNIXREMOTEEGID",
    "UNIXREMOTEPID",
];
/// The server's own variables, without those that are set for each program.
pub(super) fn inherited(names: VariableNames) -> Environment {
    let own: &[&str] = match names {
        VariableNames::Ipc => &IPC,
        VariableNames::Ucspi => &UCSPI,
    };
    std::env::vars_os()
        .filter(|(name, _)| {
            !own.iter()
                .chain(&activation::VARIABLES)
                .any(|other| name == other)
        })
        .collect()
}

/// The variables that are the same for all connections.
pub(super) struct Local {
    names: VariableNames,
    path: OsString,
}

impl Local {
    pub(super) fn new(names: VariableNames, address: &Address, listener: impl AsFd) -> Self {
        let path = match address.name() {
            Name::Path(path) => path.as_os_str().to_owned(),
            Name::Abstract(_) => address.as_os_str().to_owned(),
            _ => peer::own_path(listener)
                .ok()
                .flatten()
                .unwrap_or_default()
                .into(),
        };
        Self { names, path }
    }

    /// The variables for one connection or datagram. What is not known is unset.
    pub(super) fn variables(
        &self,
        remote: &OsStr,
        peer: Option<&Peer>,
        number: Option<usize>,
    ) -> Environment {
        let mut variables = Environment::default();
        let mut add = |name: &str, value: &OsStr| variables.add(name, value);
        let (proto, names) = match self.names {
            VariableNames::Ipc => {
                add("IPCLOCALPATH", &self.path);
                add("IPCREMOTEPATH", remote);
                let names = ["IPCREMOTEEUID", "IPCREMOTEEGID", "IPCREMOTEPID"];
                ("IPC", names)
            }
            VariableNames::Ucspi => {
                add("UNIXLOCALPATH", &self.path);
                add("UNIXLOCALUID", getuid().as_raw().to_string().as_ref());
                add("UNIXLOCALGID", getgid().as_raw().to_string().as_ref());
                let names = ["UNIXREMOTEEUID", "UNIXREMOTEEGID", "UNIXREMOTEPID"];
                ("UNIX", names)
            }
        };
        add("PROTO", proto.as_ref());
        if let Some(peer) = peer {
            if let Some(uid) = peer.uid() {
                add(names[0], uid.to_string().as_ref());
            }
            if let Some(gid) = peer.gid() {
                add(names[1], gid.to_string().as_ref());
            }
            if let Some(pid) = peer.pid() {
                add(names[2], pid.as_raw_pid().to_string().as_ref());
            }
        }
        match self.names {
            VariableNames::Ipc => {
                if let Some(number) = number {
                    add("IPCCONNNUM", number.to_string().as_ref());
                }
            }
            // UNIXLOCALPID is the pid of the program itself, in spite of its name.
            VariableNames::Ucspi => variables.add_own_pid("UNIXLOCALPID"),
        }
        variables
    }
}

/// The path of the other end of a connection; empty where it has none.
pub(super) fn remote(connection: impl AsFd) -> OsString {
    peer::path(connection)
        .ok()
        .flatten()
        .unwrap_or_default()
        .into()
}

/// The path in an address; empty where it has none.
pub(super) fn path_of(address: Option<&SocketAddrUnix>) -> OsString {
    let bytes = address.and_then(SocketAddrUnix::path_bytes);
    OsString::from_vec(bytes.unwrap_or_default().to_vec())
}
