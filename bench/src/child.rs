//! A process that we started, and that ends with us: killed by its own pid and waited for, however we end.

use crate::interrupt::Interrupt;
use anyhow::{Context, ensure};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, wait,
};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take that only prints its version, or that was interrupted.
const SHORT: Duration = Duration::from_secs(5);

/// From here on, we inherit what our children leave running or do not wait for.
pub(crate) fn adopt_orphans() -> anyhow::Result<()> {
    set_child_subreaper(Some(getpid())).context("cannot adopt what servers leave behind")
}

/// Waits for orphans that have ended, so that their processor time counts as ours. No [`ChildProcess`] may have ended
/// at that time: it would be taken for an orphan.
pub(crate) fn reap_orphans() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Killed and reaped on drop.
pub(crate) struct ChildProcess(std::process::Child);

impl ChildProcess {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self(child))
    }

    /// The output of a program that ends successfully and soon, standard error included; a few lines.
    pub(crate) fn output(command: &mut Command, interrupt: &Interrupt) -> Option<String> {
        let (mut reader, writer) = std::io::pipe().ok()?;
        let errors = writer.try_clone().ok()?;
        let command = command.stdin(Stdio::null()).stdout(writer).stderr(errors);
        let mut child = Self::start(command).ok()?;
        let deadline = Instant::now() + SHORT;
        let status = loop {
            if let Some(status) = child.ended().ok()? {
                break status;
            }
            if Instant::now() > deadline {
                return None;
            }
            interrupt.sleep(Duration::from_millis(5)).ok()?;
        };
        let mut text = String::new();
        // The command holds the other end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        reader.read_to_string(&mut text).ok()?;
        status.success().then_some(text)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Sends it a signal that ends it, and waits.
    pub(crate) fn end(&mut self, signal: Signal, interrupt: &Interrupt) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.0), signal)?;
        let deadline = Instant::now() + SHORT;
        while self.ended()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "{signal:?} did not end it within {SHORT:?}"
            );
            interrupt.sleep(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// Runs a build tool to its end. A stop interrupts it together with the compilers that it started.
    pub(crate) fn run_tool(
        command: &mut Command,
        interrupt: &Interrupt,
    ) -> anyhow::Result<ExitStatus> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut tool = Self::start(command.process_group(0))?;
        loop {
            if let Some(status) = tool.ended()? {
                return Ok(status);
            }
            if let Err(stopped) = interrupt.sleep(Duration::from_millis(20)) {
                kill_process_group(Pid::from_child(&tool.0), Signal::INT)?;
                let deadline = Instant::now() + SHORT;
                while tool.ended()?.is_none() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return Err(stopped);
            }
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Until it is waited for, the pid is a zombie's at worst: this never kills a stranger.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
