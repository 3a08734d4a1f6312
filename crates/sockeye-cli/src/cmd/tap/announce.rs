//! What a tap says at its start: what it does, and what it cannot see.

use std::os::unix::fs::PermissionsExt;

use sockeye::{Address, Kind};
use tracing::{info, warn};

use super::front::Front;
use super::joining::allowed;
use crate::args::TapArgs;

pub(super) fn announce(args: &TapArgs, front: &Front) {
    let address = args.address.quoted();
    if let Some(listen) = &args.listen {
        info!("listening on {} for {address}", listen.quoted());
        return;
    }
    let Front::Tap(tap) = front else { return };
    let server = match tap.server_pid() {
        Some(pid) => format!(" (server: pid {})", pid.as_raw_pid()),
        None => String::new(),
    };
    info!("tapping {address}{server}; Ctrl-C ends it and restores the path");
    if allowed(args).is_some() && lets_others_in(tap.address()) {
        warn!(
            "clients of other users are refused: the server would take them for this tap; as root they are let in as themselves, with --as-me as this tap"
        );
    }
    let Some(unseen) = front.unseen() else { return };
    if unseen.connections > 0 {
        let (one, many) = match args.address.kind() {
            Kind::Datagram => ("client", "clients"),
            _ => ("connection", "connections"),
        };
        let count = unseen.connections;
        let noun = if count == 1 { one } else { many };
        warn!("{count} {noun} from before the tap: not seen, and not disturbed");
    }
    if unseen.mounts > 0 {
        let count = unseen.mounts;
        let noun = if count == 1 { "mount" } else { "mounts" };
        warn!(
            "{count} {noun} of the socket file itself (containers): who connects there is not seen"
        );
    }
}

/// Whether the mode of the socket file lets others than its owner connect.
fn lets_others_in(address: &Address) -> bool {
    let found = std::fs::metadata(address.path().unwrap_or("".as_ref()));
    found.is_ok_and(|found| found.permissions().mode() & 0o022 != 0)
}
