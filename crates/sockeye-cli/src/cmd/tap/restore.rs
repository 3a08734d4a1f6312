//! `sockeye tap --restore`: gives a path back whose tap and guardian were killed.

use sockeye::Address;
use sockeye::tap::{Restored, Tap};
use tracing::info;

use crate::exit::Exit;

pub(super) fn run(address: &Address) -> anyhow::Result<Exit> {
    let name = address.quoted();
    match Tap::restore_path(address)? {
        Restored::Original => info!("restored {name}: the server's socket is there again"),
        Restored::Unused => {
            info!("left {name} as it is: removed the socket of a tap that was not in front of it");
        }
        Restored::Removed => info!("removed the tap's socket at {name}: the server has ended"),
        _ => info!(
            "left {name} as it is: the server has replaced its socket; removed what the tap had left"
        ),
    }
    Ok(Exit::Done)
}
