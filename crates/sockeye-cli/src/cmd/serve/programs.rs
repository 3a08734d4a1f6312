//! A program for each connection, or for each datagram.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::SocketAddrUnix;
use rustix::process::Rlimit;
use sockeye::listener::ConnectedSocket;
use sockeye::program::{Environment, ProgramChild, is_temporary};
use sockeye::server::Connection;
use sockeye::{Backoff, Peer, Program};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::background::{Background, Inode};
use super::environment::{self, Local};
use crate::args::Serve;
use crate::exit::{Exit, failure};
use crate::output::message::MessageSender;
use crate::stdio::log::LineQuota;

/// The time between SIGTERM and SIGKILL; `--help` says so.
const GRACE: Duration = Duration::from_secs(2);
/// How long an abort of all programs may take: `GRACE`, a second for SIGKILL to take effect, and one
/// to report it.
pub(super) const END: Duration = Duration::from_secs(4);
/// How long a connection waits for a program that cannot be started for want of resources.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How many programs may be between fork and exec at a time; a thread waits for each.
pub(super) const STARTERS: usize = 4;

/// Starts the first of the threads that start programs: with none, a process limit that is reached
/// would leave no thread to wait until it is not.
pub(super) async fn prepare() -> io::Result<()> {
    Ok(tokio::task::spawn_blocking(|| {}).await?)
}

/// The program of the command line, if there is one and it can be started.
pub(super) fn find(args: &Serve, open_files: &Rlimit) -> anyhow::Result<Option<Program>> {
    let Some((name, arguments)) = args.program.split_first() else {
        return Ok(None);
    };
    let search = std::env::var_os("PATH");
    let mut program = Program::find(name, search.as_deref()).map_err(|error| {
        let text = format!("cannot listen on {}: {error}", args.address.quoted());
        failure(Exit::Failed, text)
    })?;
    for argument in arguments {
        program = program.argument(argument)?;
    }
    let environment = environment::inherited(args.env);
    Ok(Some(
        program.environment(environment).open_files(open_files),
    ))
}

/// Standard input and output of a program.
#[derive(Clone, Copy)]
enum Ends<'a> {
    Connection(BorrowedFd<'a>),
    Files(BorrowedFd<'a>, BorrowedFd<'a>),
}

/// Starts a program for each connection or datagram, and waits for its end.
pub(super) struct Programs {
    program: Program,
    local: Local,
    patience: Duration,
    users: UserConnections,
    /// What programs have left running.
    pub(super) background: Background,
    log_quota: LineQuota,
}

impl Programs {
    pub(super) fn new(program: Program, args: &Serve, socket: impl AsFd) -> Arc<Self> {
        Arc::new(Self {
            program,
            local: Local::new(args.env, &args.address, socket),
            patience: args.listen.first_byte_timeout.unwrap_or(PATIENCE),
            users: UserConnections::default(),
            background: Background::default(),
            log_quota: LineQuota::new(),
        })
    }

    pub(super) async fn handle<S: ConnectedSocket>(self: Arc<Self>, mut connection: Connection<S>) {
        let abort = connection.abort_token();
        let peer = connection.peer().ok();
        let counted = peer.and_then(|peer| Some(self.users.enter(peer.uid()?)));
        let number = counted.as_ref().map(|counted| counted.number);
        let remote = environment::remote(&connection);
        let variables = self.local.variables(&remote, peer.as_ref(), number);
        let started = tokio::select! {
            biased;
            () = abort.cancelled() => return,
            started = self.start(Ends::Connection(connection.as_fd()), variables) => started,
        };
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                connection.mark_aborted();
                return self.not_started(peer, &error, "its connection is closed");
            }
        };
        let pid = child.pid().as_raw_pid();
        debug!(
            "program {pid} for {}: started",
            MessageSender::new(peer).describe()
        );
        let inode = Inode::of(&connection);
        let shutdown = connection.shutdown_token();
        // Our copy is closed, so that the client sees EOF when the program ends. The permit is kept.
        let (stream, _permit) = connection.into_parts();
        drop(stream);
        let status = tokio::select! {
            status = child.wait() => status,
            () = abort.cancelled() => return self.tell(pid, peer, child.terminate(GRACE).await),
        };
        self.background.ended(inode, shutdown.is_cancelled());
        self.tell(pid, peer, status);
    }

    fn not_started(&self, peer: Option<Peer>, error: &io::Error, so: &str) {
        self.say(|| {
            let sender = MessageSender::new(peer).describe();
            warn!("cannot start the program for {sender}: {error}; {so}");
        });
    }

    /// Starts the program with a datagram as its standard input, and returns what it prints, up to
    /// `limit` bytes. `None` where it could not be started, printed more, or was aborted.
    pub(super) async fn reply(
        &self,
        datagram: &OwnedFd,
        from: Option<&SocketAddrUnix>,
        peer: Option<Peer>,
        limit: usize,
        abort: &CancellationToken,
    ) -> Option<Vec<u8>> {
        let counted = peer.and_then(|peer| Some(self.users.enter(peer.uid()?)));
        let number = counted.as_ref().map(|counted| counted.number);
        let remote = environment::path_of(from);
        let variables = self.local.variables(&remote, peer.as_ref(), number);
        let started = tokio::select! {
            biased;
            () = abort.cancelled() => return None,
            started = self.start_for(datagram, variables) => started,
        };
        let (mut child, printed) = match started {
            Ok(started) => started,
            Err(error) => {
                self.not_started(peer, &error, "its datagram is lost");
                return None;
            }
        };
        let pid = child.pid().as_raw_pid();
        let mut reply = Vec::new();
        // One byte more than may be sent, to know that it is too much.
        let read = tokio::select! {
            read = read(printed, &child, &mut reply, limit + 1) => read,
            () = abort.cancelled() => {
                self.tell(pid, peer, child.terminate(GRACE).await);
                return None;
            }
        };
        if reply.len() > limit {
            self.say(|| {
                let sender = MessageSender::new(peer).describe();
                warn!("the program for {sender} printed more than {limit} bytes, the most that a reply may have; its datagram is lost");
            });
            // The pipe is closed: SIGPIPE ends most programs that go on to print.
            let ended = tokio::time::timeout(GRACE, child.wait());
            let status = tokio::select! {
                status = ended => status.ok(),
                () = abort.cancelled() => None,
            };
            let status = match status {
                Some(status) => status,
                None => child.terminate(GRACE).await,
            };
            self.tell(pid, peer, status);
            return None;
        }
        let status = tokio::select! {
            status = child.wait() => status,
            () = abort.cancelled() => {
                self.tell(pid, peer, child.terminate(GRACE).await);
                return None;
            }
        };
        self.tell(pid, peer, status);
        if let Err(error) = read {
            self.say(|| warn!("cannot read what the program printed: {error}"));
            return None;
        }
        Some(reply)
    }

    async fn start_for(
        &self,
        datagram: &OwnedFd,
        variables: Environment,
    ) -> io::Result<(ProgramChild, pipe::Receiver)> {
        let (printed, output) = io::pipe()?;
        let printed = pipe::Receiver::from_owned_fd(printed.into())?;
        let ends = Ends::Files(datagram.as_fd(), output.as_fd());
        Ok((self.start(ends, variables).await?, printed))
    }

    /// Starts the program, with a back-off while resources are short.
    async fn start(&self, ends: Ends<'_>, variables: Environment) -> io::Result<ProgramChild> {
        let deadline = Instant::now() + self.patience;
        let mut backoff = Backoff::new(FIRST_BACKOFF, LONGEST_BACKOFF);
        loop {
            let variables = variables.clone();
            let started = match ends {
                Ends::Connection(socket) => self.program.start(socket, variables).await,
                Ends::Files(input, output) => {
                    self.program.start_with(input, output, variables).await
                }
            };
            let error = match started {
                Err(error) if is_temporary(&error) => error,
                result => return result,
            };
            let pause = backoff.next_pause();
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            debug!("cannot start the program: {error}; trying again in {pause:?}");
            tokio::time::sleep(pause).await;
        }
    }

    fn tell(&self, pid: i32, peer: Option<Peer>, status: io::Result<ExitStatus>) {
        let sender = || MessageSender::new(peer).describe();
        match status {
            Ok(status) if status.success() => debug!("program {pid} for {}: done", sender()),
            Ok(status) => {
                self.say(|| info!("program {pid} for {}: {status}", sender()));
            }
            Err(error) if goes_on(&error) => {
                self.say(|| warn!("program {pid} for {} still runs: {error}", sender()));
            }
            Err(error) => self.say(|| {
                warn!(
                    "program {pid} for {}: how it ended is not known: {error}",
                    sender()
                );
            }),
        }
    }

    fn say(&self, line: impl FnOnce()) {
        if self.log_quota.pass() {
            line();
        }
    }

    pub(super) fn tell_rest(&self) {
        self.log_quota.tell_rest();
    }
}

/// Whether the error says that the program has not ended.
pub(super) fn goes_on(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::TimedOut
    )
}

/// Reads what a program prints, up to `most` bytes, until it has ended: EOF may come much later, from
/// its background processes.
async fn read(
    mut printed: pipe::Receiver,
    child: &ProgramChild,
    reply: &mut Vec<u8>,
    most: usize,
) -> io::Result<()> {
    loop {
        let room = most - reply.len();
        if room == 0 {
            return Ok(());
        }
        let mut some = (&mut printed).take(room as u64);
        tokio::select! {
            biased;
            read = some.read_buf(reply) => if read? == 0 {
                return Ok(());
            },
            ended = child.ended() => {
                ended?;
                break;
            }
        }
    }
    let rest = File::from(printed.into_nonblocking_fd()?);
    match rest.take((most - reply.len()) as u64).read_to_end(reply) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// How many connections each user has now.
#[derive(Default)]
struct UserConnections(Arc<Mutex<HashMap<u32, usize>>>);

/// One connection among those of its user.
struct UserConnection {
    users: Arc<Mutex<HashMap<u32, usize>>>,
    uid: u32,
    number: usize,
}

impl UserConnections {
    fn enter(&self, uid: u32) -> UserConnection {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(uid).or_default();
        *count += 1;
        UserConnection {
            users: Arc::clone(&self.0),
            uid,
            number: *count,
        }
    }
}

impl Drop for UserConnection {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
    }
}
