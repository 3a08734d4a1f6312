//! Two cores, one for the server and one for the client; or one for everything.

use anyhow::{Context, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub(crate) struct Cores {
    server: usize,
    client: usize,
}

impl Cores {
    /// The first two that we may use.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let mut cores = allowed()?;
        match (cores.next(), cores.next()) {
            (Some(client), Some(server)) => Ok(Self { server, client }),
            _ => bail!("there is only one"),
        }
    }

    /// What `start` starts inherits the server's core, and `measure` has the client's.
    pub(crate) fn apart<S, T: Send>(
        &self,
        start: impl FnOnce() -> anyhow::Result<S> + Send,
        measure: impl FnOnce(S) -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        on_a_thread(|| {
            pin(self.server)?;
            let server = start()?;
            pin(self.client)?;
            measure(server)
        })
    }
}

/// Runs `work` on the first core that we may use, together with all that it starts.
pub(crate) fn on_one<T: Send>(
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let core = allowed()?.next().context("there is none")?;
    on_a_thread(|| {
        pin(core)?;
        work()
    })
}

fn allowed() -> anyhow::Result<impl Iterator<Item = usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(move |&core| allowed.is_set(core)))
}

/// A thread of its own, so that our own affinity stays.
fn on_a_thread<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(_) => bail!("the client panicked"),
    })
}

fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
