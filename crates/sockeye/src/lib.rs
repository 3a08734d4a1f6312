//! UNIX sockets done right, on Linux: servers and clients of UNIX-domain sockets without the holes
//! that nearly every hand-written version has.
//!
//! # Before and after
//!
//! A server written by hand removes whatever is at its path, a living server's socket as well, binds
//! with the mode that the umask leaves, spins when file descriptors run out, and drops what it has
//! begun on SIGTERM:
//!
//! ```no_run
//! # async fn handle(_: tokio::net::UnixStream) {}
//! # async fn example() -> std::io::Result<()> {
//! # #[expect(clippy::disallowed_methods, reason = "what not to do")]
//! let _ = std::fs::remove_file("/run/app.sock");
//! let listener = tokio::net::UnixListener::bind("/run/app.sock")?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     tokio::spawn(handle(stream));
//! }
//! # }
//! ```
//!
//! With Sockeye the path has one owner, proven under a lock; the socket is made with its mode; accept(2)
//! errors back off; and a graceful shutdown answers what has begun before it returns:
//!
//! ```no_run
//! use sockeye::framing::{Framing, FramingError};
//! use sockeye::server::{Connection, Messages, Server};
//! use sockeye::{Claim, Listener};
//!
//! async fn handle(connection: Connection) -> Result<(), FramingError> {
//!     let mut messages = Messages::new(connection, Framing::Line, 64 << 10);
//!     while let Some(message) = messages.next().await? {
//!         messages.send(&Framing::Line.encode(&message.payload)?).await?;
//!     }
//!     Ok(())
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let claim = Claim::options().mode(0o660).claim(&"/run/app.sock".parse()?)?;
//! let report = Server::new()
//!     .max_connections(1000)
//!     .run(
//!         Listener::from_claim(claim)?,
//!         |connection| async { drop(handle(connection).await) },
//!         async { tokio::signal::ctrl_c().await.unwrap_or(()) },
//!     )
//!     .await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! Its client, with a bound on how long it waits for the server to come up:
//!
//! ```no_run
//! use std::io::{BufRead, BufReader, Write};
//! use std::time::Duration;
//! use sockeye::Connector;
//!
//! let mut stream = Connector::new()
//!     .wait_for(Duration::from_secs(5))
//!     .connect_blocking(&"/run/app.sock".parse()?)?;
//! stream.write_all(b"hello\n")?;
//! let mut answer = String::new();
//! BufReader::new(stream).read_line(&mut answer)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules
//!
//! | for | look at |
//! | --- | --- |
//! | an address, parsed and printed | [`address`] |
//! | exclusive ownership of a socket path: lock, stale sockets, mode, owner | [`claim`] |
//! | socket activation (`LISTEN_FDS`), inherited file descriptors | [`activation`], [`adopt`] |
//! | listeners and streams; seqpacket and datagram sockets | [`listener`], [`stream`], [`packet`] |
//! | the accept loop, limits, timeouts, graceful shutdown and drain | [`server`] |
//! | restart without a gap: listener handover to a successor | [`takeover`] |
//! | where one message ends and the next begins | [`framing`] |
//! | connecting, with a timeout, and with a reason where it fails | [`connect`] |
//! | peer credentials (`SO_PEERCRED`, pidfd, groups) and unmapped ids | [`peer`], [`ids`] |
//! | fd passing (`SCM_RIGHTS`) and credentials (`SCM_CREDENTIALS`) | [`ancillary`] |
//! | a program for each connection, as inetd does | [`program`] |
//! | every UNIX socket of the machine, its processes and its peers | [`inspect`] |
//! | busy polling, for latency | [`busy_poll`] |
//!
//! # Features
//!
//! `tokio` (default): listeners, streams, the server; without it addresses, claims, peers, blocking
//! connections and inspection. `serde`: the types of [`inspect`] can be serialized. `tracing`: what a
//! server meets (accept errors, refused peers, panics) is logged.
//!
//! # Platform
//!
//! Linux, 5.11 or later. Some guarantees take a newer kernel and have a documented fallback: fds are
//! refused by the kernel itself from 6.16 on (`SO_PASSRIGHTS`), process groups are signalled through a
//! pidfd from 6.9 on. Rust 1.93.
//!
//! # Guarantees
//!
//! - A living server's socket is never removed, nor a file that is not a socket. Only proof that no
//!   socket is bound to a file makes it stale, through every view of it (bind mount, overlay, FUSE).
//! - At no instant is a socket more open than its mode, owner and access list say; 0600 by default.
//! - Every wait has a deadline or a cancellation, every length from a peer a cap, every queue a bound.
//! - A received file descriptor is owned and close-on-exec from the system call on.
//! - What is unknown is `None` or an error, never 0, root or nobody.
//! - The library never prints, exits, installs a signal handler, or touches the umask, and it reads the
//!   environment in [`activation`] only.
#![deny(unsafe_code)]

pub mod activation;
pub mod address;
pub mod adopt;
pub mod ancillary;
pub mod busy_poll;
pub mod claim;
mod closing;
pub mod connect;
#[cfg(feature = "tokio")]
pub mod framing;
#[cfg(all(fuzzing, feature = "tokio"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod inspect;
#[cfg(feature = "tokio")]
mod lazy_async_fd;
#[cfg(feature = "tokio")]
pub mod listener;
pub mod packet;
#[cfg(feature = "tokio")]
mod passing;
pub mod peer;
#[cfg(feature = "tokio")]
pub mod program;
#[cfg(feature = "tokio")]
pub mod server;
mod socket;
#[cfg(feature = "tokio")]
mod spare;
#[cfg(feature = "tokio")]
pub mod stream;
mod sys;
#[cfg(feature = "tokio")]
pub mod takeover;

pub use address::{Address, AddressError, Kind, Name};
pub use busy_poll::BusyPoll;
pub use claim::{Claim, ClaimError, IfExists};
pub use connect::{ConnectError, Connector};
#[cfg(feature = "tokio")]
pub use listener::{Listener, SeqPacketListener};
#[cfg(feature = "tokio")]
pub use packet::{Datagram, SeqPacket};
pub use peer::Peer;
#[cfg(feature = "tokio")]
pub use program::Program;
#[cfg(feature = "tokio")]
pub use stream::Stream;
#[cfg(feature = "tokio")]
pub use takeover::{Takeover, TakeoverError};
