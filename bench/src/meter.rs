//! The cost of one turn: wall time, and processor time of the server, of the load generator and of others.

use crate::procfs;
use std::fmt;
use std::time::{Duration, Instant};

/// Warm-up time before the meter starts.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);

/// Less than this from others is within the error of the machine's counters, in clock ticks.
const RESOLUTION: u64 = 4;

/// One server in one round.
#[derive(Clone, Debug)]
pub(crate) struct RateSample {
    /// Operations (messages or connections) a second.
    pub(crate) rate: f64,
    /// Processor time that the server used for each operation, in microseconds.
    pub(crate) server_micros: f64,
    /// Cores that the load generator kept busy: near 1.0 means that it is the limit, not the server.
    pub(crate) client_cores: f64,
}

impl fmt::Display for RateSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0}/s {:>7.2} us; load {:.2} cores",
            self.rate, self.server_micros, self.client_cores
        )
    }
}

/// Adds up the slices of one server.
pub(crate) struct Meter {
    server: u32,
    /// Processes of the server that it need not have waited for.
    children: Vec<u32>,
    operations: u64,
    time: Duration,
    server_ticks: u64,
    /// A thousand of them use less than a clock tick each.
    children_time: Duration,
    client_ticks: u64,
}

impl Meter {
    pub(crate) fn new(server: u32, children: Vec<u32>) -> Self {
        Self {
            server,
            children,
            operations: 0,
            time: Duration::ZERO,
            server_ticks: 0,
            children_time: Duration::ZERO,
            client_ticks: 0,
        }
    }

    /// `work` returns the number of operations.
    pub(crate) fn measure(
        &mut self,
        work: impl FnOnce() -> anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        let ticks = || {
            let ours = procfs::cpu_ticks(std::process::id())?;
            anyhow::Ok((procfs::cpu_ticks(self.server)?, ours))
        };
        let children = || {
            let times = self.children.iter().map(|&pid| procfs::cpu_time(pid));
            times.sum::<anyhow::Result<Duration>>()
        };
        let children_before = children()?;
        let (server, client) = ticks()?;
        let start = Instant::now();
        let operations = work()?;
        let time = start.elapsed();
        let (server_now, client_now) = ticks()?;
        let children_time = children()?.saturating_sub(children_before);
        self.operations += operations;
        self.time += time;
        self.children_time += children_time;
        self.server_ticks += server_now.saturating_sub(server);
        self.client_ticks += client_now.saturating_sub(client);
        Ok(())
    }

    pub(crate) fn sample(&self) -> RateSample {
        let time = self.time.as_secs_f64();
        let server_time = seconds(self.server_ticks) + self.children_time.as_secs_f64();
        RateSample {
            rate: self.operations as f64 / time,
            server_micros: server_time * 1e6 / self.operations.max(1) as f64,
            client_cores: seconds(self.client_ticks) / time,
        }
    }
}

/// Other load of the machine, from the start of a turn until all its processes were waited for.
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
