//! What one measured stretch cost: time on the clock, and processor time of the server, of ourselves and of others.

use crate::procfs;
use std::fmt;
use std::time::{Duration, Instant};

/// Time before the meter starts, in which caches, pools and threads come up.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);

/// Less than this from others is within the error of the machine's counters, in clock ticks.
const RESOLUTION: u64 = 4;

/// One server in one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Operations (messages or connections) a second.
    pub(crate) rate: f64,
    /// Processor time that the server used for each operation, in microseconds.
    pub(crate) server_micros: f64,
    /// Cores that the load generator kept busy: near 1.0 means that it is the limit, not the server.
    pub(crate) client_cores: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0}/s {:>7.2} us; load {:.2} cores",
            self.rate, self.server_micros, self.client_cores
        )
    }
}

/// Runs from the end of the warm-up to the end of the stretch.
pub(crate) struct Meter {
    server: u32,
    start: Reading,
}

struct Reading {
    at: Instant,
    server: u64,
    client: u64,
}

impl Meter {
    pub(crate) fn start(server: u32) -> anyhow::Result<Self> {
        let start = Reading::take(server)?;
        Ok(Self { server, start })
    }

    pub(crate) fn stop(self, operations: u64) -> anyhow::Result<Sample> {
        let end = Reading::take(self.server)?;
        let start = self.start;
        let wall = (end.at - start.at).as_secs_f64();
        let server = seconds(end.server.saturating_sub(start.server));
        let client = seconds(end.client.saturating_sub(start.client));
        Ok(Sample {
            rate: operations as f64 / wall,
            server_micros: server * 1e6 / operations.max(1) as f64,
            client_cores: client / wall,
        })
    }
}

impl Reading {
    fn take(server: u32) -> anyhow::Result<Self> {
        Ok(Self {
            server: procfs::cpu_ticks(server)?,
            client: procfs::cpu_ticks(std::process::id())?,
            at: Instant::now(),
        })
    }
}

/// What the machine does besides, from the start of a turn until all processes of the turn were waited for.
pub(crate) struct Noise {
    at: Instant,
    machine: u64,
    ours: u64,
}

impl Noise {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self {
            machine: procfs::machine_ticks()?,
            ours: procfs::cpu_ticks(std::process::id())?,
            at: Instant::now(),
        })
    }

    /// Cores that others kept busy.
    pub(crate) fn stop(self) -> anyhow::Result<f64> {
        let end = Self::start()?;
        let machine = end.machine.saturating_sub(self.machine);
        let others = machine.saturating_sub(end.ours.saturating_sub(self.ours));
        if others < RESOLUTION {
            return Ok(0.0);
        }
        Ok(seconds(others) / (end.at - self.at).as_secs_f64())
    }
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
