//! What one measured stretch cost: time on the clock, and processor time of the server, of ourselves and of others.

use crate::procfs;
use std::fmt;
use std::time::Instant;

/// One server in one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Operations (messages or connections) a second.
    pub(crate) rate: f64,
    /// Processor time that the server used for each operation, in microseconds.
    pub(crate) server_micros: f64,
    /// Cores that the server kept busy.
    pub(crate) server_cores: f64,
    /// Cores that the load generator kept busy: near 1.0 means that it is the limit, not the server.
    pub(crate) client_cores: f64,
    /// Cores that anything else kept busy: the noise.
    pub(crate) other_cores: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0}/s {:>7.2} us; cores: server {:.2} load {:.2} others {:.2}",
            self.rate, self.server_micros, self.server_cores, self.client_cores, self.other_cores
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
    machine: u64,
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
        let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
        let cpu = |from: u64, to: u64| to.saturating_sub(from) as f64 * tick;
        let server = cpu(start.server, end.server);
        let client = cpu(start.client, end.client);
        let machine = cpu(start.machine, end.machine);
        Ok(Sample {
            rate: operations as f64 / wall,
            server_micros: server * 1e6 / operations.max(1) as f64,
            server_cores: server / wall,
            client_cores: client / wall,
            // Counters that are read one after the other need not add up to the tick.
            other_cores: ((machine - server - client) / wall).max(0.0),
        })
    }
}

impl Reading {
    fn take(server: u32) -> anyhow::Result<Self> {
        Ok(Self {
            server: procfs::cpu_ticks(server)?,
            client: procfs::cpu_ticks(std::process::id())?,
            machine: procfs::machine_ticks()?,
            at: Instant::now(),
        })
    }
}
