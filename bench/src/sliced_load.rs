//! A server under load, a slice at a time.

use crate::meter::{Meter, RateSample, WARM_UP};
use crate::procfs;
use crate::server::RunningServer;
use std::fmt::Display;
use std::time::Duration;

/// One contestant in one round that runs a slice at a time.
pub(crate) trait SlicedRun {
    type Result: Display;

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()>;

    fn finish(self) -> anyhow::Result<Self::Result>;
}

pub(crate) struct SlicedLoad<L> {
    meter: Meter,
    load: L,
    server: RunningServer,
}

impl<L: FnMut(&RunningServer, Duration) -> anyhow::Result<u64>> SlicedLoad<L> {
    /// Warms the server up. `load` loads it for the given time and returns the number of operations.
    pub(crate) fn begin(server: RunningServer, mut load: L) -> anyhow::Result<Self> {
        load(&server, WARM_UP)?;
        Ok(Self {
            meter: Meter::new(server.pid(), Vec::new()),
            load,
            server,
        })
    }

    /// Processor time is that of the processes, too, which the server has started for its connections.
    pub(crate) fn with_children(mut self) -> anyhow::Result<Self> {
        let server = self.server.pid();
        self.meter = Meter::new(server, procfs::children(server)?);
        Ok(self)
    }
}

impl<L: FnMut(&RunningServer, Duration) -> anyhow::Result<u64>> SlicedRun for SlicedLoad<L> {
    type Result = RateSample;

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        self.meter.measure(|| (self.load)(&self.server, time))
    }

    fn finish(self) -> anyhow::Result<RateSample> {
        Ok(self.meter.sample())
    }
}
