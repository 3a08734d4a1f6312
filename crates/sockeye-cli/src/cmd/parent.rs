//! `--end-with-parent`: a server that `bench` has started ends with it, however that ends.

use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::exit::{Exit, failure};

pub(crate) const OPTION: &str = "--end-with-parent";

/// Makes a command end with this process.
pub(crate) fn end_with_us(command: &mut Command) -> &mut Command {
    command.arg(OPTION).arg(std::process::id().to_string())
}

/// Has SIGTERM sent to this process when the process `parent`, which has started it, ends
/// (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn end_with(parent: i32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(std::io::Error::from)?;
    // It may have ended before.
    if getppid().map(Pid::as_raw_pid) == Some(parent) {
        Ok(())
    } else {
        Err(failure(
            Exit::Usage,
            format!("cannot use {OPTION} {parent}: that process is not our parent; omit it"),
        ))
    }
}
