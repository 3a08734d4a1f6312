//! Clients of a stream.

use std::io;
use std::sync::Arc;

use rustix::net::Shutdown;
use sockeye::Stream;
use sockeye::server::{Connection, ConnectionReadHalf};
use tokio::time::{Instant, sleep_until};

use super::server_script::{ServerScript, ServerStep};
use super::{StandIn, StandInError};

/// How much is read at once.
const READ: usize = 16 << 10;

pub(super) async fn handle(stand_in: Arc<StandIn>, mut connection: Connection<Stream>) {
    let Err(error) = converse(&stand_in, &mut connection).await else {
        return;
    };
    let peer = connection.peer().ok();
    match error {
        StandInError::Unmatched(unmatched) => stand_in.tell_unmatched(peer, &unmatched),
        StandInError::Io(error) => stand_in.tell_error(peer, &error),
    }
}

async fn converse(
    stand_in: &StandIn,
    connection: &mut Connection<Stream>,
) -> Result<(), StandInError> {
    let shutdown = connection.shutdown_token();
    let mut script = stand_in.script();
    let (mut read, mut write) = connection.split();
    let mut buffer = vec![0; READ];
    // What is being sent, and how much of it has been.
    let (mut sending, mut sent) = (Vec::new(), 0);
    let mut has_ended = false;
    loop {
        let (mut until, mut waits) = (None, false);
        if sent == sending.len() {
            if !sending.is_empty() {
                (sending, sent) = (Vec::new(), 0);
                script.sent();
            }
            match script.step()?? {
                ServerStep::Send(location) => {
                    sending = stand_in.candidates.recording().read(&location)?;
                    if sending.is_empty() {
                        script.sent();
                        continue;
                    }
                }
                ServerStep::HalfClose => {
                    // It fails where the client has closed.
                    let _ = rustix::net::shutdown(&write, Shutdown::Write);
                    script.sent();
                    continue;
                }
                ServerStep::Later(due) => until = Some(due),
                ServerStep::Wait(quiet) => (until, waits) = (quiet, true),
                ServerStep::End => return Ok(()),
            }
        }
        let is_idle = waits && !script.is_unanswered();
        read.set_idle(is_idle);
        tokio::select! {
            biased;
            ready = read.readable(), if !has_ended => {
                ready?;
                has_ended = receive(&mut script, &read, &mut buffer)?;
            }
            ready = write.writable(), if sent < sending.len() => {
                ready?;
                match write.try_write(&sending[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if is_to_be_tried_again(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            () = until_time(until) => {
                if waits {
                    script.look_further()?;
                }
            }
            // What has come by now was read first.
            () = shutdown.cancelled(), if is_idle => return Ok(()),
        }
    }
}

/// Reads once; whether that was EOF.
fn receive(
    script: &mut ServerScript,
    read: &ConnectionReadHalf<'_>,
    buffer: &mut [u8],
) -> Result<bool, StandInError> {
    match read.try_read(buffer) {
        Ok(0) => {
            script.take_end()?;
            Ok(true)
        }
        Ok(count) => {
            script.take(&buffer[..count])??;
            Ok(false)
        }
        Err(error) if is_to_be_tried_again(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_to_be_tried_again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Never, where there is no time.
pub(super) async fn until_time(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
