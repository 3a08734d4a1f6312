//! A process that we started, and that ends with us: killed by its own pid and waited for, whichever way we leave.

use crate::stop::Stop;
use anyhow::Context;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Killed and reaped on drop.
pub(crate) struct Child(std::process::Child);

impl Child {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self(child))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits for its end, or until a stop is asked for.
    pub(crate) fn wait(mut self, stop: &Stop) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            stop.sleep(Duration::from_millis(20))?;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Until it is waited for, the pid is a zombie's at worst: this never kills a stranger.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
