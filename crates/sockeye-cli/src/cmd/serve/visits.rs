//! [`Visits`]: a program for each datagram.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::SocketAddrUnix;
use sockeye::{Datagram, Peer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answers::NO_ADDRESS;
use super::handler::Handler;
use super::programs::Programs;
use super::undelivered::tell;

/// How many programs may run at a time where nothing else was asked for.
const MOST: usize = 64;

/// Runs a program for each datagram, some at a time, and sends what it prints to the sender.
pub(super) struct Visits {
    programs: Arc<Programs>,
    socket: Arc<Datagram>,
    handler: Arc<Handler>,
    cut_off: CancellationToken,
    permits: Arc<Semaphore>,
    running: JoinSet<()>,
}

impl Visits {
    pub(super) fn new(
        programs: &Arc<Programs>,
        most: Option<usize>,
        socket: &Arc<Datagram>,
        handler: &Arc<Handler>,
        cut_off: &CancellationToken,
    ) -> Self {
        Self {
            programs: Arc::clone(programs),
            socket: Arc::clone(socket),
            handler: Arc::clone(handler),
            cut_off: cut_off.clone(),
            permits: Arc::new(Semaphore::new(most.unwrap_or(MOST))),
            running: JoinSet::new(),
        }
    }

    /// Starts one once it may; meanwhile other datagrams wait in the socket's queue.
    pub(super) async fn begin(
        &mut self,
        datagram: &[u8],
        from: Option<SocketAddrUnix>,
        peer: Option<Peer>,
    ) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        while self.running.try_join_next().is_some() {}
        let input = match in_memory(datagram) {
            Ok(input) => input,
            Err(error) => {
                let text = format!("sent a datagram that is lost: {error}");
                return self.handler.complain(|| peer, &text);
            }
        };
        let (programs, socket) = (Arc::clone(&self.programs), Arc::clone(&self.socket));
        let (handler, cut_off) = (Arc::clone(&self.handler), self.cut_off.clone());
        self.running.spawn(async move {
            let _permit = permit;
            let limit = handler.max_message;
            let answer = programs.answer(&input, from.as_ref(), peer, limit, &cut_off);
            let Some(answer) = answer.await.filter(|answer| !answer.is_empty()) else {
                return;
            };
            match from {
                Some(to) => {
                    let sent = socket.send_to_with(&answer, &[], &to).await;
                    tell(&handler, sent, &to, peer);
                }
                None => handler.complain(|| peer, NO_ADDRESS),
            }
        });
    }

    /// How many have not ended.
    pub(super) fn running(&mut self) -> u64 {
        while self.running.try_join_next().is_some() {}
        self.running.len() as u64
    }

    /// Until all have ended.
    pub(super) async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    /// Ends those that still run, in `time`.
    pub(super) async fn cut_off(&mut self, time: Duration) {
        self.cut_off.cancel();
        let _ = tokio::time::timeout(time, self.finish()).await;
    }
}

/// A file of its own, to be read from the beginning.
fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("datagram", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
