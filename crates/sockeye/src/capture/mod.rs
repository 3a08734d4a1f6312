//! Recordings of connections, as pcap-ng: for Wireshark, and to be played again.
//!
//! [`Recording`] reads one:
//!
//! ```no_run
//! use sockeye::capture::{RecordedPart, Recording};
//!
//! let recording = Recording::open("app.pcapng")?;
//! for (number, connection) in recording.connections().iter().enumerate() {
//!     for event in connection.events() {
//!         if let RecordedPart::Bytes(location) = &event.what {
//!             let bytes = recording.read(location)?;
//!             println!("{number}: {:?} {} bytes", event.direction, bytes.len());
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod recorded;
mod recording;

pub use error::{RecordingError, RecordingErrorKind};
pub use recorded::{RecordedConnection, RecordedEvent, RecordedLocation, RecordedPart};
pub use recording::Recording;
