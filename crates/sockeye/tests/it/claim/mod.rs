//! [`Claim`](sockeye::Claim): who owns an address.

mod access_list;
mod blocking;
mod displaced;
mod exclusive;
mod found;
mod lock;
mod mode;
mod paths;
mod release;
mod views;

use sockeye::claim::ClaimErrorKind;
use sockeye::{Address, Claim};

/// Why `address` cannot be claimed with the defaults.
#[track_caller]
fn denied(address: &Address) -> ClaimErrorKind {
    match Claim::options().claim(address) {
        Ok(claim) => panic!("claimed {claim:?}"),
        Err(error) => error.kind().clone(),
    }
}
