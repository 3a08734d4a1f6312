//! [`Shift`]: a server under load, a slice at a time.

use crate::contest::Stint;
use crate::meter::{Meter, Sample, WARM_UP};
use crate::server::Server;
use std::time::Duration;

pub(crate) struct Shift<L> {
    meter: Meter,
    load: L,
    server: Server,
}

impl<L: FnMut(&Server, Duration) -> anyhow::Result<u64>> Shift<L> {
    /// Warms the server up. `load` has it work for as long as it is told, and returns how many operations that were.
    pub(crate) fn begin(server: Server, mut load: L) -> anyhow::Result<Self> {
        load(&server, WARM_UP)?;
        Ok(Self {
            meter: Meter::new(server.pid()),
            load,
            server,
        })
    }
}

impl<L: FnMut(&Server, Duration) -> anyhow::Result<u64>> Stint for Shift<L> {
    type Result = Sample;

    fn go_on(&mut self, time: Duration) -> anyhow::Result<()> {
        self.meter.measure(|| (self.load)(&self.server, time))
    }

    fn end(self) -> anyhow::Result<Sample> {
        Ok(self.meter.sample())
    }
}
