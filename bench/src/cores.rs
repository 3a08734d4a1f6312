//! Two cores: one for the server, one for the client.

use anyhow::bail;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub(crate) struct Cores {
    server: usize,
    client: usize,
}

impl Cores {
    /// The first two that we may use.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        match (cores.next(), cores.next()) {
            (Some(client), Some(server)) => Ok(Self { server, client }),
            _ => bail!("there is only one"),
        }
    }

    /// Runs both on a thread of their own, so that our own affinity stays: what `start` starts inherits the server's
    /// core, and `measure` has the client's.
    pub(crate) fn apart<S, T: Send>(
        &self,
        start: impl FnOnce() -> anyhow::Result<S> + Send,
        measure: impl FnOnce(S) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        std::thread::scope(|scope| {
            let both = || {
                pin(self.server)?;
                let server = start()?;
                pin(self.client)?;
                measure(server)
            };
            match scope.spawn(both).join() {
                Ok(result) => result,
                Err(_) => bail!("the client panicked"),
            }
        })
    }
}

fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
