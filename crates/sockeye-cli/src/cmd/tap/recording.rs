//! [`TapRecording`]: the recording of `--record`, and what became of it.

use std::io;
use std::os::fd::AsFd;
use std::path::absolute;
use std::time::Duration;

use sockeye::Address;
use sockeye::address::quoted;
use sockeye::capture::{Recorder, RecorderOptions, RecorderStatus};
use sockeye::relay::{ObserverHandle, ObserverLimits, ObserverThread};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::{RecordTarget, TapArgs};
use crate::exit::{Exit, failure};
use crate::output;

/// How often it is looked whether the recorder can write.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct TapRecording {
    handle: ObserverHandle,
    thread: ObserverThread<Recorder>,
    status: RecorderStatus,
    /// What the log calls the file.
    name: String,
}

impl TapRecording {
    /// Starts to record, and hands on to `display`; `None` where that was not asked for.
    pub(super) fn start(
        args: &TapArgs,
        display: Option<ObserverHandle>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(target) = &args.record else {
            return Ok(None);
        };
        let mut options = RecorderOptions::new(interface(&args.address)).port(args.port);
        if let Some(dissector) = &args.dissector {
            options = options.dissector(dissector);
        }
        let (recorder, name) = match target {
            RecordTarget::File(path) => {
                (Recorder::create(path, &options)?, quoted(path).to_string())
            }
            RecordTarget::Stdout => (to_stdout(&options)?, "standard output".to_owned()),
        };
        let recorder = match display {
            Some(display) => recorder.then(display),
            None => recorder,
        };
        let status = recorder.status();
        let limits = ObserverLimits::default();
        let (handle, thread) = ObserverHandle::start_complete(recorder, limits)?;
        Ok(Some(Self {
            handle,
            thread,
            status,
            name,
        }))
    }

    pub(super) fn handle(&self) -> &ObserverHandle {
        &self.handle
    }

    /// Says when blocks are dropped, and when they are written again.
    pub(super) fn report_failures(&self) -> impl Future<Output = ()> + Send + 'static {
        let (status, name) = (self.status.clone(), self.name.clone());
        async move {
            let mut looks = interval(LOOK);
            let mut was_failing = false;
            loop {
                looks.tick().await;
                let is_failing = status.is_failing();
                if is_failing && !was_failing {
                    let why = reason(&status);
                    warn!(
                        "cannot record to {name}: {why}; what comes is dropped from the recording, the traffic goes on"
                    );
                } else if was_failing && !is_failing {
                    info!("recording to {name} again");
                }
                was_failing = is_failing;
            }
        }
    }

    /// Writes the rest, for at most the time of `--drain` or until `abort`. Returns whether everything
    /// was recorded. No relay may have a handle any more.
    pub(super) async fn finish(self, patience: Duration, abort: &CancellationToken) -> bool {
        let Self {
            handle,
            thread,
            status,
            name,
        } = self;
        drop(handle);
        let mut ended = tokio::task::spawn_blocking(move || match thread.join() {
            Ok(recorder) => drop(recorder.finish()),
            Err(_) => warn!("the recorder has panicked"),
        });
        let is_written = tokio::select! {
            written = timeout(patience, &mut ended) => written.is_ok(),
            () = abort.cancelled() => false,
        };
        if !is_written {
            status.abandon();
            let _ = ended.await;
        }
        let (written, dropped) = (status.written(), status.dropped());
        info!(
            "recorded {} to {name}",
            output::bytes(written.bytes as usize)
        );
        if dropped.blocks > 0 {
            let (blocks, bytes) = (dropped.blocks, output::bytes(dropped.bytes as usize));
            let why = reason(&status);
            warn!(
                "the recording {name} is incomplete: {blocks} packets ({bytes}) were dropped: {why}"
            );
        }
        dropped.blocks == 0
    }
}

/// The name of the interface: the path.
fn interface(address: &Address) -> String {
    let path = address.path().and_then(|path| absolute(path).ok());
    path.map_or_else(|| address.quoted(), |path| quoted(&path).to_string())
}

fn reason(status: &RecorderStatus) -> String {
    status
        .error()
        .map_or_else(|| "it was not read".to_owned(), ToString::to_string)
}

fn to_stdout(options: &RecorderOptions) -> anyhow::Result<Recorder> {
    let stdout = io::stdout();
    if rustix::termios::isatty(&stdout) {
        return Err(failure(
            Exit::Usage,
            "cannot record to a terminal; redirect standard output, or give --record a file",
        ));
    }
    let fd = stdout.as_fd().try_clone_to_owned()?;
    Recorder::new(fd, options).map_err(|error| {
        let text = format!("cannot record to standard output: {error}");
        failure(Exit::Failed, text)
    })
}
