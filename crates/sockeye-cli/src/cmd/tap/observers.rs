//! [`Observers`]: what looks at the traffic.

use rustix::process::Pid;
use sockeye::relay::{ObservedBegin, ObserverHandle};
use tracing::debug;

use super::display::DisplayThread;
use crate::args::TapArgs;
use crate::stdio;

pub(super) struct Observers {
    handle: ObserverHandle,
    display: DisplayThread,
    /// Then the tap goes on when nobody reads the display.
    is_recorded: bool,
}

impl Observers {
    pub(super) fn start(args: &TapArgs) -> anyhow::Result<Self> {
        let display = DisplayThread::start(args)?;
        let filter = args.filter();
        let handle = display.handle().only(move |begin: &ObservedBegin| {
            let pid = begin.client.and_then(|client| client.pid());
            let uid = begin.client.and_then(|client| client.uid());
            let command = begin.command.as_deref();
            filter.matches(pid.map(Pid::as_raw_pid), uid, command)
        });
        Ok(Self {
            handle,
            display,
            is_recorded: args.record.is_some(),
        })
    }

    /// What relays hand over to.
    pub(super) fn handle(&self) -> &ObserverHandle {
        &self.handle
    }

    /// Completes when nobody reads the display, unless the traffic is recorded. Cancel safe.
    pub(super) async fn unread(&self) {
        if self.is_recorded {
            return std::future::pending().await;
        }
        self.display.broken().await;
    }

    /// Whether the recording is complete.
    pub(super) fn finish(self) -> anyhow::Result<bool> {
        drop(self.handle);
        match self.display.finish() {
            Ok(()) => Ok(true),
            Err(error) if self.is_recorded => {
                debug!("cannot write to the display: {error}");
                Ok(true)
            }
            Err(error) => Err(stdio::unprinted(&error)),
        }
    }
}
