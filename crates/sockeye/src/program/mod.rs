//! [`Program`]: a handler program, started for each connection as inetd does.
//!
//! ```no_run
//! use sockeye::Program;
//! use sockeye::program::Environment;
//! use sockeye::server::Connection;
//!
//! # async fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
//! let cat = Program::find("cat", std::env::var_os("PATH").as_deref())?;
//! let mut child = cat.start(&connection, Environment::default()).await?;
//! let (stream, permit) = connection.into_parts();
//! drop(stream); // the client sees the end when the program ends
//! println!("{}", child.wait().await?);
//! drop(permit); // another connection may take its place in the limits
//! # Ok(())
//! # }
//! ```

mod child;
mod environment;
mod find;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::process::Rlimit;

pub use child::ProgramChild;
pub use environment::Environment;
pub use find::ProgramError;
#[cfg(fuzzing)]
pub(crate) use find::interpreter;

use crate::sys::spawn::Spawn;

/// A program, found and checked once and started as often as connections come.
///
/// Its processes have a process group of their own, default signal dispositions, no signal blocked,
/// and only the fds 0, 1 and 2, unless said otherwise; standard error is ours. They are started as by
/// vfork(2), in a time that does not grow with our memory.
#[doc(alias = "inetd")]
#[doc(alias = "UCSPI")]
#[derive(Debug, Clone)]
pub struct Program(Arc<Recipe>);

#[derive(Debug, Clone)]
struct Recipe {
    path: CString,
    /// Its name first.
    arguments: Vec<CString>,
    environment: Environment,
    open_files: Option<libc::rlimit>,
}

impl Program {
    /// Finds a program: in the directories of `search` (as in `PATH`) where its name has no slash.
    /// It has no arguments and an empty environment.
    ///
    /// # Errors
    /// [`ProgramError`] where it could not be started.
    pub fn find(name: impl AsRef<OsStr>, search: Option<&OsStr>) -> Result<Self, ProgramError> {
        let name = name.as_ref();
        let path = find::find(name, search)?;
        let text = |bytes: &OsStr| {
            CString::new(bytes.as_bytes()).map_err(|_| ProgramError::NotFound(name.into()))
        };
        Ok(Self(Arc::new(Recipe {
            path: text(path.as_os_str())?,
            arguments: vec![text(name)?],
            environment: Environment::default(),
            open_files: None,
        })))
    }

    /// Adds an argument.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where it has a NUL byte.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> io::Result<Self> {
        let argument = CString::new(argument.as_ref().as_bytes())?;
        self.recipe().arguments.push(argument);
        Ok(self)
    }

    /// The environment of every process, besides what is added for each.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.recipe().environment = environment;
        self
    }

    /// The limit of open files of its processes (setrlimit(2), `RLIMIT_NOFILE`); default ours.
    #[must_use]
    pub fn open_files(mut self, limit: &Rlimit) -> Self {
        let raw = |value: Option<u64>| value.unwrap_or(libc::RLIM_INFINITY);
        self.recipe().open_files = Some(libc::rlimit {
            rlim_cur: raw(limit.current),
            rlim_max: raw(limit.maximum),
        });
        self
    }

    fn recipe(&mut self) -> &mut Recipe {
        Arc::make_mut(&mut self.0)
    }

    /// Starts it with a connection as its standard input and output, and `variables` besides those
    /// of [`Program::environment`]; no name may be in both. The connection is made to block, for all
    /// who share it.
    ///
    /// The thread that starts a program blocks until execve(2) is done; it is one of the runtime's threads
    /// for blocking work.
    ///
    /// # Errors
    /// As clone(2) and execve(2). [`is_temporary`] says whether another attempt may succeed.
    ///
    /// # Cancel safety
    /// If the future is dropped, the program is not started, or killed.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub async fn start(
        &self,
        connection: impl AsFd,
        variables: Environment,
    ) -> io::Result<ProgramChild> {
        let connection = connection.as_fd().try_clone_to_owned()?;
        self.blocking(move |recipe| {
            let connection = connection.as_fd();
            rustix::io::ioctl_fionbio(connection, false)?;
            recipe.spawn(&variables, &[(connection, 0), (connection, 1)])
        })
        .await
    }

    /// As [`Program::start`], with two files as its standard input and output.
    ///
    /// # Errors
    /// As [`Program::start`].
    ///
    /// # Cancel safety
    /// As [`Program::start`].
    ///
    /// # Panics
    /// As [`Program::start`].
    pub async fn start_with(
        &self,
        input: impl AsFd,
        output: impl AsFd,
        variables: Environment,
    ) -> io::Result<ProgramChild> {
        let input = input.as_fd().try_clone_to_owned()?;
        let output = output.as_fd().try_clone_to_owned()?;
        self.blocking(move |recipe| {
            recipe.spawn(&variables, &[(input.as_fd(), 0), (output.as_fd(), 1)])
        })
        .await
    }

    /// Starts it with a listening socket as fd 3, as sd_listen_fds(3) has it: `LISTEN_FDS`,
    /// `LISTEN_PID` and `LISTEN_FDNAMES` (`name`) tell it so, and none of them may be in
    /// [`Program::environment`]. Its standard input is empty, its standard output ours. The socket
    /// is made to block, for all who share it.
    ///
    /// # Errors
    /// As [`Program::start`].
    ///
    /// # Cancel safety
    /// As [`Program::start`].
    ///
    /// # Panics
    /// As [`Program::start`].
    pub async fn start_listening(
        &self,
        listener: impl AsFd,
        name: &str,
    ) -> io::Result<ProgramChild> {
        let listener = listener.as_fd().try_clone_to_owned()?;
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut variables = Environment::default();
        variables.add("LISTEN_FDS", "1");
        variables.add("LISTEN_FDNAMES", name);
        variables.add_own_pid("LISTEN_PID");
        self.blocking(move |recipe| {
            rustix::io::ioctl_fionbio(&listener, false)?;
            recipe.spawn(&variables, &[(null.as_fd(), 0), (listener.as_fd(), 3)])
        })
        .await
    }

    async fn blocking(
        &self,
        start: impl FnOnce(&Recipe) -> io::Result<ProgramChild> + Send + 'static,
    ) -> io::Result<ProgramChild> {
        let recipe = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || start(&recipe)).await?
    }
}

impl Recipe {
    fn spawn(
        &self,
        variables: &Environment,
        descriptors: &[(BorrowedFd<'_>, RawFd)],
    ) -> io::Result<ProgramChild> {
        let spawn = Spawn {
            path: &self.path,
            arguments: self.arguments.iter().map(CString::as_c_str),
            environment: self.environment.strings().chain(variables.strings()),
            pid_variable: variables.own_pid(),
            descriptors,
            open_files: self.open_files,
        };
        let (pid, pidfd) = spawn.start()?;
        ProgramChild::new(pid, pidfd)
    }
}

/// Whether an error of [`Program::start`] may pass: processes, memory or fds ran out, or the
/// program's file is being written.
#[must_use]
pub fn is_temporary(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY)
    )
}
