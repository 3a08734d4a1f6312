//! Recordings of connections, as pcap-ng: for Wireshark, and to be played again.
//!
//! [`Recorder`] writes one, as the observer of a relay:
//!
//! ```
//! use sockeye::capture::{Recorder, RecorderOptions};
//! use sockeye::relay::{ObserverHandle, ObserverLimits, Relay};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let file = directory.path().join("app.pcapng");
//! let recorder = Recorder::create(file, &RecorderOptions::new("/run/app.sock"))?;
//! let status = recorder.status();
//! let (handle, thread) = ObserverHandle::start_complete(recorder, ObserverLimits::default())?;
//! let relay = Relay::new().observe(handle);
//! // relay.join(client, target)
//! drop(relay);
//! thread.join().expect("it does not panic").finish();
//! assert!(status.error().is_none());
//! # Ok(())
//! # }
//! ```
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

mod assembly;
mod block_buffer;
mod block_reader;
mod byte_order;
mod comment;
mod connection_assembly;
mod direction;
mod encoder;
mod endpoints;
mod error;
mod interface;
mod open_failure;
mod packet_reader;
mod pcapng;
mod pdu;
mod reassembly;
mod record_frames;
mod recorded;
mod recorder;
mod recorder_file;
mod recorder_options;
mod recorder_status;
mod recording;
mod recording_file;
mod recording_parser;
mod segment;
mod stream_frames;
mod tcp_packet;
#[cfg(test)]
mod tests;

#[cfg(fuzzing)]
pub(crate) use recording_parser::check_recording;

pub use error::{RecordingError, RecordingErrorKind};
pub use open_failure::{DenyingFile, OpenFailure};
pub use recorded::{RecordedConnection, RecordedEvent, RecordedLocation, RecordedPart};
pub use recorder::Recorder;
pub use recorder_options::RecorderOptions;
pub use recorder_status::{RecordedBlocks, RecorderStatus};
pub use recording::Recording;
pub use recording_file::{RecorderError, RecorderErrorKind};
