//! The programs that take part, built from this checkout.

use crate::child::ChildProcess;
use crate::interrupt::Interrupt;
use anyhow::{Context, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the built programs are.
pub(crate) struct Tools {
    pub(crate) sockeye: PathBuf,
    pub(crate) tokio_echo: PathBuf,
    pub(crate) tokio_chat: PathBuf,
    pub(crate) library_echo: PathBuf,
    pub(crate) library_chat: PathBuf,
    pub(crate) http_server: PathBuf,
    // From `bench/peers`; an error says why it is missing.
    pub(crate) go_echo: Result<PathBuf, String>,
    pub(crate) go_once: Result<PathBuf, String>,
    pub(crate) go_thirty_lines: Result<PathBuf, String>,
    pub(crate) relay: Result<PathBuf, String>,
    pub(crate) spawn_loop: Result<PathBuf, String>,
    pub(crate) epoll_echo: Result<PathBuf, String>,
    pub(crate) spin_echo: Result<PathBuf, String>,
}

impl Tools {
    /// Builds what is not up to date. `sockeye`: take this binary as it is. `temporary` goes away with us.
    pub(crate) fn build(
        sockeye: Option<PathBuf>,
        temporary: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        eprintln!("building what is not up to date");
        // Next to ourselves, wherever `cargo run` put that.
        let own = std::env::current_exe()?;
        let profile = own.parent().context("no directory of our own")?;
        let target = profile.parent().context("no target directory")?;
        // Two builds on purpose: in one, the product would share its dependencies' features with the bench (all of
        // tokio), and what is measured would not be what is shipped.
        let sockeye = match sockeye {
            Some(file) => {
                ensure!(file.is_file(), "{} is not a file", file.display());
                std::path::absolute(file)?
            }
            None => {
                cargo_build("sockeye-cli", target, interrupt)?;
                profile.join("sockeye")
            }
        };
        cargo_build("sockeye-bench", target, interrupt)?;
        let peers = target.join("bench-peers");
        let reason = |error: anyhow::Error| format!("{error:#}");
        let go = |name| go_build(name, &peers, temporary, interrupt).map_err(reason);
        let c = |name| c_build(name, &peers, interrupt).map_err(reason);
        let tools = Self {
            sockeye,
            tokio_echo: profile.join("tokio_echo"),
            tokio_chat: profile.join("tokio_chat"),
            library_echo: profile.join("library_echo"),
            library_chat: profile.join("library_chat"),
            http_server: profile.join("http_server"),
            go_echo: go("go_echo"),
            go_once: go("go_once"),
            go_thirty_lines: go("thirty_line_server"),
            relay: c("relay"),
            spawn_loop: c("spawn_loop"),
            epoll_echo: c("epoll_echo"),
            spin_echo: c("spin_echo"),
        };
        interrupt.check()?;
        Ok(tools)
    }
}

fn cargo_build(package: &str, target: &Path, interrupt: &Interrupt) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let status = ChildProcess::run_tool(
        Command::new(cargo)
            .args(["build", "--release", "--quiet", "--package", package])
            .arg("--target-dir")
            .arg(target)
            .current_dir(workspace()),
        interrupt,
    )?;
    ensure!(status.success(), "cargo build of {package}: {status}");
    Ok(())
}

fn go_build(
    name: &str,
    directory: &Path,
    temporary: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<PathBuf> {
    let binary = directory.join(name);
    let status = ChildProcess::run_tool(
        Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(workspace().join(format!("bench/peers/{name}.go")))
            // Nothing in them needs C, and so none of them needs a C compiler.
            .env("CGO_ENABLED", "0")
            // An interrupted build may leave its work directory.
            .env("GOTMPDIR", temporary),
        interrupt,
    )?;
    ensure!(status.success(), "go build of {name}: {status}");
    Ok(binary)
}

fn c_build(name: &str, directory: &Path, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let binary = directory.join(name);
    let status = ChildProcess::run_tool(
        Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&binary)
            .arg(workspace().join(format!("bench/peers/{name}.c"))),
        interrupt,
    )?;
    ensure!(status.success(), "cc of {name}: {status}");
    Ok(binary)
}

/// The root of the checkout that this was built from.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
