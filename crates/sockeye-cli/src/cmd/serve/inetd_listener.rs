//! `--inetd-listener`: one program that gets the listening socket itself, at the first connection.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sockeye::inspect::diag::{self, DiagEntry, DiagState};
use sockeye::program::ProgramChild;
use sockeye::{Backoff, Kind, Name, Program};
use tracing::{debug, info, warn};

use super::programs::goes_on;
use crate::args::Serve;
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::listening::socket::ServedSocket;
use crate::exit::Exit;
use crate::output;

/// What sd_listen_fds_with_names(3) calls a socket without a name.
const NAME: &str = "unknown";
/// A program that ends sooner, while a client waits, has not served: the back-off goes on.
const SHORT_RUN: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// How often sock_diag(7) is asked for open connections: no event tells of their end.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn serve(
    args: &Serve,
    mut socket: ServedSocket,
    program: &Program,
    lifecycle: &mut Lifecycle,
) -> anyhow::Result<Exit> {
    let mut starts = 0;
    let mut running = None;
    let name = start_on_demand(program, &socket, lifecycle, &mut starts, &mut running).await?;
    let drain = args.listen.drain;
    lifecycle.stopping();
    info!(
        "stopping on {name}: no new clients, the program has {} to end; a second signal kills it",
        output::duration(drain)
    );
    if let Err(error) = socket.refuse_new_clients() {
        warn!(
            "cannot remove the socket file: {error}; remove it, or let the next server replace it"
        );
    }
    let until = Instant::now().checked_add(drain);
    let mut lost = Unserved::default();
    if let Some(child) = &mut running {
        end(child, &socket, drain, lifecycle, &mut lost).await;
    }
    if !is_adopted(args) {
        lost.left_open(&socket, until, lifecycle).await;
        lost.left_waiting(&socket);
    }
    info!(
        "stopped: program starts {starts}, waiting {}, aborted {}",
        lost.waiting, lost.aborted
    );
    Ok(match lost.waiting + lost.aborted {
        0 => Exit::Done,
        _ => Exit::Incomplete,
    })
}

/// Starts the program each time that a client waits and none runs. Returns the signal that ends this;
/// a program that is `running` then is left to the caller.
async fn start_on_demand(
    program: &Program,
    socket: &ServedSocket,
    lifecycle: &mut Lifecycle,
    starts: &mut u64,
    running: &mut Option<ProgramChild>,
) -> io::Result<&'static str> {
    let first = || Backoff::new(FIRST_BACKOFF, LONGEST_BACKOFF);
    let mut backoff = first();
    loop {
        tokio::select! {
            biased;
            name = lifecycle.next_signal() => return Ok(name),
            readable = socket.readable() => readable?,
        }
        let began = Instant::now();
        match program.start_listening(socket, NAME).await {
            Ok(child) => {
                *starts += 1;
                info!("program {}: started", child.pid().as_raw_pid());
                let child = running.insert(child);
                tokio::select! {
                    biased;
                    name = lifecycle.next_signal() => return Ok(name),
                    status = child.wait() => match status {
                        Ok(status) => info!("program {}: {status}", child.pid().as_raw_pid()),
                        Err(error) => warn!("how the program ended is not known: {error}"),
                    },
                }
                *running = None;
            }
            Err(error) => warn!("cannot start the program: {error}; trying again"),
        }
        if began.elapsed() >= SHORT_RUN || !socket.is_readable()? {
            backoff = first();
            continue;
        }
        let pause = backoff.next_pause();
        debug!("the program has ended at once and clients wait; starting it again in {pause:?}");
        tokio::select! {
            name = lifecycle.next_signal() => return Ok(name),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether other processes may serve the socket too.
fn is_adopted(args: &Serve) -> bool {
    matches!(args.address.name(), Name::Fd(_) | Name::Systemd(_))
}

async fn end(
    child: &mut ProgramChild,
    socket: &ServedSocket,
    drain: Duration,
    lifecycle: &mut Lifecycle,
    lost: &mut Unserved,
) {
    let open = connections(socket);
    let ended = tokio::select! {
        ended = child.terminate(drain) => ended,
        _ = lifecycle.next_signal() => child.terminate(Duration::ZERO).await,
    };
    let pid = child.pid().as_raw_pid();
    let died_of = match ended {
        Ok(status) => match status.signal().and_then(Signal::from_named_raw) {
            Some(signal @ (Signal::TERM | Signal::KILL)) => signal,
            _ => return info!("program {pid}: {status}"),
        },
        Err(error) => {
            lost.aborted += 1;
            if goes_on(&error) {
                return warn!("program {pid} still runs: {error}");
            }
            return warn!("program {pid}: how it ended is not known: {error}");
        }
    };
    let left = connections(socket).unwrap_or_default();
    match open {
        Some(open) if died_of == Signal::TERM && open <= left => {
            info!("program {pid}: ended by SIGTERM, with no connection open");
        }
        Some(open) if open > left => {
            lost.aborted += open - left;
            warn!(
                "program {pid}: ended by our signal; connections that it had open: {}",
                open - left
            );
        }
        _ => {
            lost.aborted += 1;
            warn!(
                "program {pid}: ended by our signal; it may have been at work, and counts as aborted"
            );
        }
    }
}

/// How many clients and connections were not served.
#[derive(Default)]
struct Unserved {
    waiting: u64,
    aborted: u64,
}

impl Unserved {
    /// Waits until `until` for connections in processes that the program has left running, and counts
    /// those that are open then.
    async fn left_open(
        &mut self,
        socket: &ServedSocket,
        until: Option<Instant>,
        lifecycle: &mut Lifecycle,
    ) {
        loop {
            let open = connections(socket).unwrap_or_default();
            let time_is_over = until.is_some_and(|until| Instant::now() >= until);
            let is_aborted = open > 0
                && !time_is_over
                && tokio::time::timeout(PAUSE, lifecycle.next_signal())
                    .await
                    .is_ok();
            if open == 0 || time_is_over || is_aborted {
                self.aborted += open;
                if open > 0 {
                    warn!(
                        "connections still open in processes that the program has left running: {open}; the processes go on, the connections count as aborted"
                    );
                }
                return;
            }
        }
    }

    fn left_waiting(&mut self, socket: &ServedSocket) {
        self.waiting = socket.discard_queued();
        if self.waiting > 0 {
            warn!(
                "clients or datagrams that still waited for the program and are lost: {}",
                self.waiting
            );
        }
    }
}

/// How many accepted connections of the socket have a client; `None` where that cannot be known.
fn connections(socket: &ServedSocket) -> Option<u64> {
    if socket.kind() == Kind::Datagram {
        return None;
    }
    let table = diag::dump().ok()?;
    // sock_diag(7) has 32 bits of it, and the kernel gives no more to sockets.
    let inode = rustix::fs::fstat(socket).ok()?.st_ino as u32;
    let listener = table.iter().find(|entry| entry.inode == inode)?;
    let is_open = |entry: &&DiagEntry| {
        // Without an inode it has not been accepted.
        entry.state == DiagState::Connected && entry.inode != 0 && entry.peer != Some(0)
    };
    let ours = |entry: &&DiagEntry| entry.name == listener.name && entry.file == listener.file;
    Some(table.iter().filter(is_open).filter(ours).count() as u64)
}
