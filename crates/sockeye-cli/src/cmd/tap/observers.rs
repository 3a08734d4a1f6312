//! [`Observers`]: what looks at the traffic.

use std::io::Write;

use sockeye::relay::{
    ObservedBegin, ObservedDirection, ObservedPiece, Observer, ObserverHandle, ObserverThread,
};
use tokio_util::sync::CancellationToken;

use crate::args::TapArgs;
use crate::output::message::MessageSender;

pub(super) struct Observers {
    handle: ObserverHandle,
    thread: ObserverThread<Sizes>,
    unread: CancellationToken,
}

/// A line for each message.
struct Sizes;

impl Observer for Sizes {
    fn begin(&mut self, begin: ObservedBegin) {
        let client = MessageSender::new(begin.client).describe();
        let _ = writeln!(
            std::io::stdout(),
            "#{} {client}: connected",
            begin.connection
        );
    }

    fn piece(&mut self, piece: ObservedPiece) {
        let way = match piece.direction {
            ObservedDirection::ToTarget => '>',
            ObservedDirection::ToClient => '<',
        };
        let text = piece.bytes.escape_ascii();
        let (number, size) = (piece.connection, piece.bytes.len());
        let _ = writeln!(std::io::stdout(), "#{number} {way} {size} bytes: {text}");
    }
}

impl Observers {
    pub(super) fn start(_args: &TapArgs) -> anyhow::Result<Self> {
        let (handle, thread) = ObserverHandle::start(Sizes)?;
        Ok(Self {
            handle,
            thread,
            unread: CancellationToken::new(),
        })
    }

    pub(super) fn handle(&self) -> &ObserverHandle {
        &self.handle
    }

    pub(super) async fn unread(&self) {
        self.unread.cancelled().await;
    }

    pub(super) fn finish(self) -> anyhow::Result<bool> {
        drop(self.handle);
        let _ = self.thread.join();
        Ok(true)
    }
}
