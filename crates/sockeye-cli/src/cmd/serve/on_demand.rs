//! `--inetd-listener`: one program that gets the listening socket itself, once it is needed.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sockeye::Program;
use sockeye::program::Child;
use tracing::{debug, info, warn};

use super::Signals;
use super::notify::Notify;
use super::socket::Socket;
use crate::args::Serve;
use crate::exit::Exit;
use crate::output;

/// What sd_listen_fds_with_names(3) calls a socket that nobody has named.
const NAME: &str = "unknown";
/// A program that ends sooner, while somebody waits, has not served.
const SHORT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn serve(
    args: &Serve,
    mut socket: Socket,
    program: &Program,
    signals: &mut Signals,
    notify: &Notify,
) -> anyhow::Result<Exit> {
    let mut starts = 0;
    let mut pause = FIRST_PAUSE;
    let mut running = None;
    let name = loop {
        tokio::select! {
            biased;
            name = signals.next() => break name,
            waiting = socket.waiting() => waiting?,
        }
        let began = Instant::now();
        match program.start_listening(&socket, NAME).await {
            Ok(child) => {
                starts += 1;
                info!("program {}: started", child.pid().as_raw_pid());
                let child = running.insert(child);
                tokio::select! {
                    biased;
                    name = signals.next() => break name,
                    status = child.wait() => match status {
                        Ok(status) => info!("program {}: {status}", child.pid().as_raw_pid()),
                        Err(error) => warn!("how the program ended is not known: {error}"),
                    },
                }
                running = None;
            }
            Err(error) => warn!("cannot start the program: {error}; trying again"),
        }
        if began.elapsed() >= SHORT || !socket.has_waiting()? {
            pause = FIRST_PAUSE;
            continue;
        }
        debug!("the program has ended at once and clients wait; starting it again in {pause:?}");
        tokio::select! {
            name = signals.next() => break name,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    let drain = args.drain;
    notify.stopping();
    info!(
        "stopping on {name}: no newcomers, the program has {} to end; again to kill it",
        output::duration(drain)
    );
    if let Err(error) = socket.refuse_newcomers() {
        warn!(
            "cannot remove the socket file: {error}; remove it, or let the next server replace it"
        );
    }
    let exit = match &mut running {
        Some(child) => end(child, drain, signals).await,
        None => Exit::Done,
    };
    info!("stopped: program starts {starts}");
    Ok(exit)
}

async fn end(child: &mut Child, drain: Duration, signals: &mut Signals) -> Exit {
    let ended = tokio::select! {
        ended = child.terminate(drain) => ended,
        _ = signals.next() => child.terminate(Duration::ZERO).await,
    };
    match ended {
        Ok(status) if status.signal() != Some(Signal::KILL.as_raw()) => Exit::Done,
        Ok(_) => Exit::Incomplete,
        Err(error) => {
            let pid = child.pid().as_raw_pid();
            warn!("program {pid}: how it ended is not known: {error}");
            Exit::Incomplete
        }
    }
}
