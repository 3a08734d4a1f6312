//! [`Front`]: where the clients of a tap connect: the server's path, or the address of `--listen`.

use std::io;
use std::time::Duration;

use sockeye::claim::{Probe, probe};
use sockeye::listener::{ConnectedSocket, SocketListener};
use sockeye::tap::{Tap, TapEnd, TapError, TapErrorKind, Unseen};
use sockeye::{Address, Claim, Datagram};
use tokio::time::sleep;
use tracing::warn;

use super::joining::has_client_credentials;
use crate::args::TapArgs;
use crate::exit::{Exit, failure};

/// How often a server that is to come is looked for.
const LOOK: Duration = Duration::from_millis(100);

pub(super) enum Front {
    /// In front of the server, which is displaced.
    Tap(Box<Tap>),
    /// At an address of its own.
    Listen(Option<Box<Claim>>, Address),
}

impl Front {
    pub(super) fn step_in(args: &TapArgs) -> anyhow::Result<Self> {
        match &args.listen {
            None => Ok(Self::Tap(Box::new(tap(args)?))),
            Some(listen) => {
                if let Probe::Absent | Probe::Stale = probe(&args.address) {
                    let address = args.address.quoted();
                    let text = format!(
                        "cannot tap {address}: nobody listens there; start the server first"
                    );
                    return Err(failure(Exit::NothingThere, text));
                }
                let options = Claim::options().allow_fd_passing(true);
                let claim = options.pass_credentials(has_client_credentials(args));
                let claim = claim.claim(listen)?;
                Ok(Self::Listen(Some(Box::new(claim)), (*args.address).clone()))
            }
        }
    }

    /// Where to connect to the server.
    pub(super) fn server(&self) -> &Address {
        match self {
            Self::Tap(tap) => tap.server(),
            Self::Listen(_, address) => address,
        }
    }

    pub(super) fn unseen(&self) -> Option<Unseen> {
        match self {
            Self::Tap(tap) => Some(tap.unseen()),
            Self::Listen(..) => None,
        }
    }

    pub(super) fn listen<S: ConnectedSocket>(&mut self) -> io::Result<SocketListener<S>> {
        match self {
            Self::Tap(tap) => tap.listen(),
            Self::Listen(claim, _) => {
                let claim = claim.take().ok_or(io::ErrorKind::Unsupported)?;
                let mut listener = SocketListener::from_claim(*claim)?;
                listener.keep_accepting_fds();
                Ok(listener)
            }
        }
    }

    pub(super) fn datagrams(&mut self) -> io::Result<Datagram> {
        match self {
            Self::Tap(tap) => tap.datagrams(),
            Self::Listen(claim, _) => {
                let claim = claim.take().ok_or(io::ErrorKind::Unsupported)?;
                Datagram::from_claim(*claim)
            }
        }
    }

    /// Waits until the server has ended, or has given its path up.
    pub(super) async fn ended(&mut self) -> TapEnd {
        match self {
            Self::Tap(tap) => tap.ended().await,
            Self::Listen(..) => std::future::pending().await,
        }
    }

    /// Gives the path back.
    pub(super) fn restore(&mut self) {
        if let Self::Tap(tap) = self
            && let Err(error) = tap.restore()
        {
            warn!("{error}");
        }
    }
}

fn tap(args: &TapArgs) -> Result<Tap, TapError> {
    Tap::options()
        .pass_credentials(has_client_credentials(args))
        .begin(&args.address)
}

/// Steps in front of the next server, once there is one.
pub(super) async fn next(args: &TapArgs) -> Front {
    let mut last = None;
    loop {
        sleep(LOOK).await;
        let found = std::fs::symlink_metadata(args.address.path().unwrap_or("".as_ref()));
        // While nothing is there, nothing is asked.
        if found.is_err() {
            continue;
        }
        match tap(args) {
            Ok(tap) => return Front::Tap(Box::new(tap)),
            Err(error) if is_soon(&error) => {}
            Err(error) => {
                let text = error.to_string();
                if last.as_ref() != Some(&text) {
                    warn!("{text}; waiting");
                    last = Some(text);
                }
            }
        }
    }
}

/// Whether a server may just be starting.
fn is_soon(error: &TapError) -> bool {
    matches!(
        error.kind(),
        TapErrorKind::Absent
            | TapErrorKind::NoServer
            | TapErrorKind::NotListening
            | TapErrorKind::Replaced
    )
}
