//! Clients of a seqpacket socket.

use std::io;
use std::sync::Arc;

use sockeye::SeqPacket;
use sockeye::ancillary::{RecvError, SendError, close_in_background};
use sockeye::server::Connection;

use super::server_script::ServerStep;
use super::streams::until_time;
use super::{StandIn, StandInError};
use crate::cmd::replay::recorded_bytes::framed;
use crate::cmd::send_buffer::make_room;

pub(super) async fn handle(stand_in: Arc<StandIn>, mut connection: Connection<SeqPacket>) {
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
    connection: &mut Connection<SeqPacket>,
) -> Result<(), StandInError> {
    let shutdown = connection.shutdown_token();
    let mut script = stand_in.script();
    make_room(connection.socket(), stand_in.longest_answer);
    let mut buffer = stand_in.buffer();
    let mut has_ended = false;
    loop {
        let (until, waits) = match script.step()?? {
            ServerStep::Send(location) => {
                let record = stand_in.candidates.recording().read(&location)?;
                connection.set_idle(false);
                let sent = connection.send_msg(&record, &[]).await;
                sent.map_err(io_error)?;
                script.sent();
                continue;
            }
            ServerStep::HalfClose => {
                // It fails where the client has closed.
                let _ = connection.socket().shutdown(sockeye::Shutdown::Write);
                script.sent();
                continue;
            }
            ServerStep::Later(due) => (Some(due), false),
            ServerStep::Wait(quiet) => (quiet, true),
            ServerStep::End => return Ok(()),
        };
        let is_idle = waits && !script.is_unanswered();
        connection.set_idle(is_idle);
        tokio::select! {
            biased;
            received = connection.recv_msg(&mut buffer), if !has_ended => {
                let count = match received {
                    Ok(Some(received)) => {
                        close_in_background(received.descriptors);
                        received.bytes
                    }
                    Ok(None) => {
                        has_ended = true;
                        script.take_end()?;
                        continue;
                    }
                    // Its beginning is there, and no recorded one is so long.
                    Err(RecvError::TooLong { .. }) => buffer.len(),
                    Err(RecvError::Io(error)) => return Err(error.into()),
                    Err(error) => return Err(io::Error::from(error).into()),
                };
                script.take(&framed(&buffer[..count]))??;
            }
            () = until_time(until) => {
                if waits {
                    script.look_further()?;
                }
            }
            // What has come by now was received first.
            () = shutdown.cancelled(), if is_idle => return Ok(()),
        }
    }
}

pub(super) fn io_error(error: SendError) -> io::Error {
    match error {
        SendError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}
