//! UNIX sockets done right, on Linux: servers and clients of UNIX-domain sockets without the holes
//! that nearly every hand-written version has.
//!
//! # Before and after
//!
//! This server removes whatever is at its path, a running server's socket too, binds with the mode that
//! the umask leaves, ends at the first `EMFILE`, and drops requests that have begun on SIGTERM:
//!
//! ```no_run
//! # async fn handle(_: tokio::net::UnixStream) {}
//! # async fn example() -> std::io::Result<()> {
//! # #[expect(clippy::disallowed_methods, reason = "what not to do")]
//! let _ = std::fs::remove_file("/run/app.sock");
//! let listener = tokio::net::UnixListener::bind("/run/app.sock")?;
//! loop {
//!     tokio::spawn(handle(listener.accept().await?.0));
//! }
//! # }
//! ```
//!
//! With Sockeye a lock proves that the path has one owner, the file is made with its mode, accept(2)
//! errors back off, and a graceful shutdown answers requests that have begun:
//!
#![cfg_attr(feature = "signal", doc = "```no_run")]
#![cfg_attr(not(feature = "signal"), doc = "```ignore")]
//! use sockeye::{Claim, Connection, Framing, FramingError, Listener, Messages, Server};
//!
//! async fn echo_lines(connection: Connection) -> Result<(), FramingError> {
//!     let mut messages = Messages::new(connection, Framing::Line, 64 << 10);
//!     while let Some(message) = messages.next().await? {
//!         messages.send(&message.payload).await?;
//!     }
//!     Ok(())
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let shutdown = sockeye::shutdown_signal()?;
//! let listener = Listener::open(&"/run/app.sock".parse()?, &Claim::options().mode(0o660))?;
//! let server = Server::new().max_connections(1000);
//! println!("{}", server.run(listener, echo_lines, shutdown).await?);
//! # Ok(())
//! # }
//! ```
//!
//! Its client waits up to five seconds for the server to come up:
//!
//! ```no_run
//! use std::io::{BufRead, BufReader, Write};
//! use sockeye::Connector;
//!
//! let connector = Connector::new().wait_for(std::time::Duration::from_secs(5));
//! let mut stream = connector.connect_blocking(&"/run/app.sock".parse()?)?;
//! stream.write_all(b"hello\n")?;
//! let mut answer = String::new();
//! BufReader::new(stream).read_line(&mut answer)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Examples
//!
//! Small complete programs, in [`examples/`](https://github.com/sockeye-rs/sockeye/tree/main/crates/sockeye/examples):
//!
//! | | |
//! | --- | --- |
//! | `lines`, `ask` | the smallest daemon and the smallest client |
//! | `graceful_shutdown` | limits, timeouts, a drain at SIGTERM, an abort at the second signal |
//! | `open_files` | fd passing: a privileged daemon opens files for its clients |
//! | `records`, `datagrams` | seqpacket records; datagrams with the sender's credentials |
//! | `relay` | each client is joined to a server, with half-close, reset and fds |
//! | `activation` | socket activation and sd_notify |
//! | `restart` | listener handover: a restart without a gap |
//! | `single_instance` | a tool whose later calls go to the first process, without tokio |
//! | `chat` | broadcast: split halves, a bounded queue, back-pressure |
//! | `unit_test` | a handler under unit test, with a paused clock |
//!
//! In [`examples/`](https://github.com/sockeye-rs/sockeye/tree/main/examples) of the repository are those with
//! other crates: `axum`, `grpc` (tonic), `http_client`, `jsonrpc` (jsonrpsee), `mcp` (rmcp), `varlink` (zlink),
//! `service` (systemd).
//!
//! # Modules
//!
//! | for | look at |
//! | --- | --- |
//! | addresses, parsed and printed | [`address`] |
//! | exclusive ownership of a socket path: lock, stale sockets, mode, owner | [`claim`] |
//! | socket activation (`LISTEN_FDS`), inherited file descriptors | [`activation`], [`adopt`] |
//! | stream, seqpacket and datagram sockets | [`listener`], [`stream`], [`packet`] |
//! | TCP and vsock connections and listeners | [`net_stream`], [`listener`] |
//! | accept loop, back-off, limits, timeouts, graceful shutdown | [`server`] |
//! | listener handover: restart without a gap | [`takeover`] |
#![cfg_attr(
    feature = "http",
    doc = "| HTTP and gRPC: any tower service on a server, authorization by route, clients | [`http`](mod@http) |"
)]
//! | joining two connections: splice, fds, half-close; targets, datagrams | [`relay`] |
//! | standing in front of a running server, and recordings as pcap-ng | [`tap`], [`capture`] |
//! | message boundaries on a stream | [`framing`] |
//! | connecting, with a timeout and a reason for each failure; single-instance tools | [`connect`] |
//! | pauses between attempts: exponential back-off | [`Backoff`] |
//! | peer credentials (`SO_PEERCRED`, pidfd, groups), unmapped ids | [`peer`], [`ids`] |
//! | fd passing (`SCM_RIGHTS`), `SCM_CREDENTIALS` | [`ancillary`] |
//! | a program for each connection, as inetd runs them | [`program`] |
//! | all UNIX sockets of the machine, their processes and peers | [`inspect`] |
//! | busy polling, for latency | [`busy_poll`] |
//!
//! # Features
//!
//! `tokio` (default): listeners, streams, the server; without it there are addresses, claims, peer
//! credentials, blocking connections and inspection. `signal`: `server::shutdown_signal`. `serde`: serializable types of [`inspect`].
//! `tracing`: a server logs accept errors, refused peers and panics. `http`: any tower service on a server,
//! and a connector for HTTP clients; `axum08` and `tonic014`: what that has for axum 0.8 and tonic 0.14.
//!
//! # Platform
//!
//! Linux 5.9 or later (close_range(2)), tested on 6.18; Rust 1.93 or later. What newer kernels add has a
//! fallback: pidfds of peers (since 6.5), signals to process groups by pidfd (6.9), refused fds (6.16).
//!
//! # Guarantees
//!
//! - A running server's socket is never removed, nor a file that is not a socket.
//! - At no instant is a socket more open than its mode, owner and access list say; 0600 by default.
//! - Every wait has a deadline or a cancellation, every length from a peer a cap, every queue a bound.
//! - A received fd is owned and close-on-exec from the system call on.
//! - What is unknown is `None` or an error, never 0, root or nobody.
//! - The library never prints, exits, or reads or sets the umask. It installs no signal handler unless
//!   `shutdown_signal` is called, and reads the environment in [`activation`] only.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

#[doc(alias("socket activation", "LISTEN_FDS", "sd_listen_fds", "systemd"))]
pub mod activation;
pub mod address;
#[doc(alias("inherited fd", "from_raw_fd"))]
pub mod adopt;
#[doc(alias("fd passing", "SCM_RIGHTS", "SCM_CREDENTIALS", "sendmsg"))]
pub mod ancillary;
mod backoff;
pub mod busy_poll;
#[cfg(feature = "tokio")]
#[doc(alias("pcap", "pcapng", "Wireshark", "tcpdump"))]
pub mod capture;
#[doc(alias("stale socket", "bind", "flock"))]
pub mod claim;
mod closing;
pub mod connect;
mod error_debug;
#[cfg(feature = "tokio")]
mod fd_headroom;
#[cfg(feature = "tokio")]
#[doc(alias("codec", "delimiter"))]
pub mod framing;
#[cfg(all(fuzzing, feature = "tokio"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "tokio")]
mod handover;
mod hint;
#[cfg(feature = "http")]
#[doc(alias("hyper", "axum", "tonic", "tower", "gRPC"))]
pub mod http;
pub mod ids;
#[doc(alias("sock_diag", "ss", "lsof"))]
pub mod inspect;
#[cfg(feature = "tokio")]
mod lazy_async_fd;
#[cfg(feature = "tokio")]
pub mod listener;
#[cfg(feature = "tokio")]
#[doc(alias("TCP", "vsock"))]
pub mod net_stream;
#[doc(alias("SOCK_SEQPACKET", "SOCK_DGRAM"))]
pub mod packet;
#[cfg(feature = "tokio")]
mod passing;
#[doc(alias("peer credentials", "SO_PEERCRED", "ucred"))]
pub mod peer;
#[cfg(feature = "tokio")]
#[doc(alias("inetd", "exec"))]
pub mod program;
mod raw_fd;
#[cfg(feature = "tokio")]
mod recv;
#[cfg(feature = "tokio")]
#[doc(alias("proxy", "splice", "copy_bidirectional"))]
pub mod relay;
#[cfg(feature = "tokio")]
mod scratch;
#[cfg(feature = "tokio")]
#[doc(alias(
    "accept loop",
    "accept back-off",
    "backoff",
    "graceful shutdown",
    "drain"
))]
pub mod server;
mod socket;
#[cfg(feature = "tokio")]
pub mod stream;
mod sys;
#[cfg(feature = "tokio")]
#[doc(alias("listener handover", "handover", "zero downtime restart"))]
pub mod takeover;
#[cfg(feature = "tokio")]
pub mod tap;

pub use activation::ActivationError;
pub use address::{Address, AddressError, Kind, Name};
pub use adopt::AdoptError;
pub use ancillary::{
    Received, RecvError, SendError, close_in_background, pass_credentials, recv_msg, send_msg,
};
pub use backoff::Backoff;
pub use busy_poll::BusyPoll;
pub use claim::{BlockingListener, Claim, ClaimError, ClaimOptions, IfExists, StopHandle};
pub use connect::{ClaimOrConnectError, Claimed, ConnectError, Connector};
#[cfg(feature = "tokio")]
pub use framing::{Codec, Framing, FramingError, Message};
#[cfg(feature = "tokio")]
pub use listener::{ListenError, Listener, NetListener, SeqPacketListener, SocketListener};
#[cfg(feature = "tokio")]
pub use net_stream::NetStream;
pub use packet::{BlockingDatagram, BlockingSeqPacket, BlockingSeqPacketListener};
#[cfg(feature = "tokio")]
pub use packet::{Datagram, SeqPacket};
pub use peer::{AllowedPeers, Peer};
#[cfg(feature = "tokio")]
pub use program::{Program, ProgramError};
#[cfg(feature = "tokio")]
pub use relay::Relay;
#[cfg(feature = "tokio")]
pub use server::{
    Connection, HandlerOutput, LimitError, Messages, Record, Records, Report, Server, ServerError,
};
#[cfg(feature = "signal")]
pub use server::{ShutdownSignal, shutdown_signal};
#[cfg(feature = "tokio")]
pub use stream::Stream;
#[cfg(feature = "tokio")]
pub use takeover::{Takeover, TakeoverError};

// The types of others that are part of this API.
#[cfg(feature = "tokio")]
#[doc(no_inline)]
pub use bytes::{BufMut, Bytes, BytesMut};
#[doc(no_inline)]
pub use rustix::{
    fs::FileType,
    io::Errno,
    net::{Shutdown, SocketAddrUnix},
    process::{Pid, Rlimit, Signal},
};
#[cfg(feature = "tokio")]
#[doc(no_inline)]
pub use tokio_util::{
    codec::{Decoder, Encoder, Framed},
    sync::CancellationToken,
};

/// Its snippets compile.
#[cfg(all(doctest, feature = "signal"))]
#[doc = include_str!("../../../README.md")]
struct ReadmeSnippets;
