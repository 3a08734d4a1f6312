//! `sockeye tap`: shows and records the traffic of a server that runs.

mod announce;
mod display;
mod front;
mod joining;
mod observers;
mod recording;
mod restore;
mod session;
mod signals;

use sockeye::Kind;
use sockeye::tap::Tap;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::TapArgs;
use crate::cmd::descriptor_limit;
use crate::cmd::listening::inherited::InheritedFds;
use crate::cmd::listening::startup;
use crate::exit::{Exit, failure};
use crate::stdio::log;
use front::Front;
use observers::Observers;
use session::{Ready, Session, SessionEnd};
use signals::TapSignals;

/// Threads that look up names, or why the server cannot be reached.
const BLOCKING_THREADS: usize = 4;

pub(crate) fn run(args: &TapArgs) -> anyhow::Result<Exit> {
    log::init(false, args.verbose);
    if args.restore {
        return restore::run(&args.address);
    }
    check(args)?;
    let inherited = InheritedFds::take(&[], args.ready_fd)?;
    descriptor_limit::raise(None);
    descriptor_limit::warn_if_too_low_for_fds();
    let name = args.address.quoted();
    startup::can_start(&name, true)?;
    startup::runtime(&name, BLOCKING_THREADS)?.block_on(tap(args, Ready::new(inherited.ready)))
}

async fn tap(args: &TapArgs, mut ready: Ready) -> anyhow::Result<Exit> {
    let signals = TapSignals::install()?;
    if args.listen.is_none() {
        // Before a recording is made, or emptied; and that before a client comes.
        Tap::check(&args.address)?;
    }
    let observers = Observers::start(args)?;
    let mut front = Front::step_in(args)?;
    let mut drains = JoinSet::new();
    loop {
        let session = Session::new(args, &signals, &observers);
        let (end, drain) = session.run(front, &mut ready).await?;
        drains.spawn(drain);
        front = match end {
            SessionEnd::ServerEnded if args.follow => match follow(args, &signals.stop).await {
                Some(next) => next,
                None => break,
            },
            _ => break,
        };
    }
    // A connection that goes on at the end of the drain is told, and no error.
    let lost: u64 = drains.join_all().await.into_iter().sum();
    let is_complete = observers.finish(args, &signals.abort).await?;
    Ok(if lost > 0 || !is_complete {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

/// Waits for the next server. `None` where it is told to end.
async fn follow(args: &TapArgs, stop: &CancellationToken) -> Option<Front> {
    tokio::select! {
        () = stop.cancelled() => None,
        front = front::next(args) => Some(front),
    }
}

fn check(args: &TapArgs) -> anyhow::Result<()> {
    let address = args.address.quoted();
    let wrong = |why: &str| Err(failure(Exit::Usage, format!("cannot tap {address}{why}")));
    let Some(listen) = &args.listen else {
        return Ok(());
    };
    if listen.kind() != args.address.kind() {
        let describe = |kind| match kind {
            Kind::Stream => "a stream",
            Kind::SeqPacket => "a seqpacket socket",
            Kind::Datagram => "a datagram socket",
        };
        return wrong(&format!(
            ", {}, at {}, {}; give both the same prefix",
            describe(args.address.kind()),
            listen.quoted(),
            describe(listen.kind())
        ));
    }
    if **listen == *args.address {
        return wrong(" at its own address; give --listen another one, or omit it");
    }
    Ok(())
}
