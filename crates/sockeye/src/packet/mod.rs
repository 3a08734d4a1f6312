//! Sockets that keep the boundaries of what is sent: seqpacket connections and datagrams (unix(7)).
//!
//! A record may be empty, and is never cut: one that does not fit into the buffer is an error that
//! tells its real size.

mod blocking;
#[cfg(feature = "tokio")]
mod datagram;
#[cfg(feature = "tokio")]
mod seqpacket;

pub use blocking::{BlockingDatagram, BlockingSeqPacket, BlockingSeqPacketListener};
#[cfg(feature = "tokio")]
pub use datagram::Datagram;
#[cfg(feature = "tokio")]
pub use seqpacket::SeqPacket;
