//! Seqpacket connections: records and their replies.

use std::io::ErrorKind;
use std::sync::Arc;

use sockeye::SeqPacket;
use sockeye::ancillary::{RecvError, SendError};
use sockeye::server::{Connection, Records};
use tracing::debug;

use super::handler::Handler;
use super::recv_errors::{describe_recv_error, is_idle_timeout, limit_of};
use crate::cmd::listening::received_fds::ReceivedFds;
use crate::cmd::send_buffer::make_room;
use crate::output::message::{MessageSender, ShownMessage};

pub(super) async fn handle(handler: Arc<Handler>, connection: Connection<SeqPacket>) {
    let mut records = Records::new(connection, handler.max_message);
    if let Err(error) = converse(&handler, &mut records).await {
        let peer = || records.connection().peer().ok();
        if let RecvError::Io(error) = &error
            && limit_of(error).is_some()
        {
            return handler.log.tell_limit(peer, error, 0);
        }
        match describe_recv_error(&error) {
            Some(text) => handler
                .log
                .complain(peer, &format!("{text}; its connection is closed")),
            None => {
                let sender = MessageSender::new(peer());
                debug!("the connection of {} ended: {error}", sender.describe());
            }
        }
    }
}

async fn converse(handler: &Handler, records: &mut Records) -> Result<(), RecvError> {
    let mut sender = None;
    let mut listens = true;
    while let Some(record) = records.next().await? {
        let (mut payload, descriptors) = (record.payload, ReceivedFds(record.descriptors));
        if handler.output.shows() {
            let peer = || records.connection().peer().ok();
            let sender = sender.get_or_insert_with(|| handler.output.sender(peer()));
            let received = ShownMessage {
                payload: &payload,
                size: payload.len(),
                descriptors: &descriptors.0,
            };
            let line = handler.output.line(&received, sender);
            // They may take much memory, and the output may be slow; what is shown is not sent back.
            drop((std::mem::take(&mut payload), descriptors));
            if !Box::pin(handler.output.print(line, sender)).await {
                records.mark_aborted();
                return Ok(());
            }
        }
        if let Some(reply) = handler.reply_to(&payload).filter(|_| listens) {
            let mut sent = records.send(reply, &[]).await;
            if let Err(SendError::TooLong { size, .. }) = sent {
                // The client's send buffer is larger than ours, which is raised as far as possible.
                make_room(records.connection(), size);
                sent = records.send(reply, &[]).await;
            }
            match sent {
                Ok(()) => {}
                // The peer is gone, but what it sent before can still be received. ECONNRESET, for
                // replies that it has not read, is reported by the next system call only.
                Err(SendError::Io(error))
                    if matches!(
                        error.kind(),
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ) =>
                {
                    listens = false;
                }
                Err(SendError::Io(error)) if is_idle_timeout(&error) => {
                    handler
                        .log
                        .tell_unread_reply(|| records.connection().peer().ok());
                    return Ok(());
                }
                Err(SendError::Io(error)) => return Err(error.into()),
                Err(error) => {
                    let text = format!("could not be answered: {error}; its connection is closed");
                    handler
                        .log
                        .complain(|| records.connection().peer().ok(), &text);
                    records.mark_aborted();
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
