//! `sockeye relay`: joins each client of one address to a server at another one.

mod checks;
mod client_name;
mod datagrams;
mod exit_idle;
mod one_client;
mod one_connection;
mod outcome;
mod pairs;
mod port;
mod relay_log;
mod serving;
mod sides;
mod stdio;
mod target;

use sockeye::relay::FdPolicy;
use tracing::info;

use crate::args::RelayArgs;
use crate::cmd::descriptor_limit;
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::listening::startup::{self, Startup};
use crate::cmd::parent::end_with;
use crate::exit::Exit;
use crate::stdio::log;
use pairs::Pairs;
use sides::{ClientSide, ListenSource, Sides};

/// Threads that look up names of hosts, or why a target cannot be reached.
const BLOCKING_THREADS: usize = 4;

pub(crate) fn run(args: &RelayArgs) -> anyhow::Result<Exit> {
    log::init(args.log.quiet, args.log.verbose);
    if let Some(parent) = args.listen.end_with_parent {
        end_with(parent)?;
    }
    let sides = Sides::take(args)?;
    let fds = checks::check(args, &sides)?;
    let Sides {
        mut client,
        target,
        ready,
    } = sides;
    let listener = match &mut client {
        ClientSide::Listen(ListenSource::Unix(_, listener, _)) => listener.take(),
        _ => None,
    };
    let address = args.listen_address.unix();
    let path = address.and_then(|address| Some((&**address, address.path()?)));
    let startup = Startup::with_inherited(&args.listen, path, listener, ready)?;
    let name = args.listen_address.quoted();
    startup::can_start(&name, true)?;
    startup::runtime(&name, BLOCKING_THREADS)?.block_on(async {
        let lifecycle = Lifecycle::new(&args.listen, &name)?;
        let pairs = Pairs::new(args, fds, target)?;
        if fds == FdPolicy::Refuse {
            info!("file descriptors are refused: whoever passes one gets EPERM");
        } else {
            descriptor_limit::warn_if_too_low_for_fds();
        }
        match client {
            ClientSide::One(one) => one_client::join(args, one, pairs, startup, lifecycle).await,
            ClientSide::Listen(source) => {
                serving::serve(args, source, pairs, startup, lifecycle).await
            }
        }
    })
}
