//! [`Observers`]: what looks at the traffic: the display, and the recording.

use std::io;
use std::os::fd::AsFd;

use rustix::process::Pid;
use sockeye::relay::{ObservedBegin, ObserverHandle};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::display::DisplayThread;
use super::recording::TapRecording;
use crate::args::{RecordTarget, TapArgs, TapFilter};
use crate::stdio;
use crate::stdio::reader::reader_gone;

/// Without a recording, relays hand over to the display, which misses what it has no room for. With one
/// they hand over to the recorder, which misses nothing, and that to the display.
pub(super) struct Observers {
    /// For relays.
    handle: ObserverHandle,
    display: DisplayThread,
    recording: Option<TapRecording>,
    tasks: JoinSet<()>,
}

impl Observers {
    pub(super) fn start(args: &TapArgs) -> anyhow::Result<Self> {
        let display = DisplayThread::start(args)?;
        let shown = args.display().map(|_| display.handle());
        let recording = TapRecording::start(args, shown)?;
        let mut tasks = JoinSet::new();
        let handle = match &recording {
            Some(recording) => {
                tasks.spawn(recording.report_failures());
                recording.handle().clone()
            }
            None => display.handle(),
        };
        let filter = args.filter();
        Ok(Self {
            handle: handle.only(move |begin| is_wanted(&filter, begin)),
            display,
            recording,
            tasks,
        })
    }

    /// What relays hand over to.
    pub(super) fn handle(&self) -> &ObserverHandle {
        &self.handle
    }

    /// Completes when nobody reads any more what is shown, and nothing is recorded; or when nobody reads
    /// the recording. Cancel safe.
    pub(super) async fn unread(&self, args: &TapArgs) {
        match &args.record {
            None => self.display.broken().await,
            Some(RecordTarget::File(_)) => std::future::pending().await,
            Some(RecordTarget::Stdout) => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                if let Ok(stdout) = stdout
                    && reader_gone(stdout).await.is_ok()
                {
                    return;
                }
                std::future::pending::<()>().await;
            }
        }
    }

    /// Writes and shows the rest. Returns whether everything was recorded. No relay may have a handle
    /// any more.
    pub(super) async fn finish(
        mut self,
        args: &TapArgs,
        abort: &CancellationToken,
    ) -> anyhow::Result<bool> {
        self.tasks.abort_all();
        drop(self.handle);
        let is_recorded = self.recording.is_some();
        let is_complete = match self.recording {
            Some(recording) => recording.finish(args.drain, abort).await,
            None => true,
        };
        match self.display.finish(abort).await {
            Ok(()) => Ok(is_complete),
            Err(error) if is_recorded => {
                debug!("cannot write to the display: {error}");
                Ok(is_complete)
            }
            Err(error) => Err(stdio::unprinted(&error)),
        }
    }
}

fn is_wanted(filter: &TapFilter, begin: &ObservedBegin) -> bool {
    let pid = begin.client.and_then(|client| client.pid());
    let uid = begin.client.and_then(|client| client.uid());
    let command = begin.command.as_deref();
    filter.matches(pid.map(Pid::as_raw_pid), uid, command)
}
