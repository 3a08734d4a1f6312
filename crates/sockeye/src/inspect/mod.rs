//! Which UNIX sockets exist, which processes have them open, and which are their peers.
//!
//! A [`Snapshot`] joins the kernel's table, one dump of sock_diag(7) for each network namespace,
//! with one walk over `/proc/*/fd`.
//!
//! ```no_run
//! use sockeye::inspect::{SnapshotOptions, Snapshot};
//!
//! let snapshot = Snapshot::take(SnapshotOptions::default())?;
//! for connection in snapshot.connections() {
//!     println!("{:?} talks to {:?}", connection.client.holders, connection.server.holders);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod asking;
pub mod diag;
mod file;
mod forked_worker;
mod hung_files;
pub(crate) mod lookup;
pub(crate) mod mounts;
pub(crate) mod namespace;
mod options;
mod place;
pub(crate) mod procfs;
mod renamed;
mod snapshot;
mod snapshot_files;
mod socket;
mod tables;

pub(crate) use file::is_bound_to;
pub use forked_worker::{ForkedWorker, ResultSender};
pub use mounts::Mount;
pub use options::{Hidden, Namespaces, SnapshotOptions};
pub use snapshot::{Endpoints, Snapshot};
pub use socket::{BoundName, FileState, Holder, Process, Socket, SocketFile, SocketState};
