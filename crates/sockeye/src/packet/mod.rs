//! Sockets that keep the boundaries of what is sent: seqpacket connections and datagrams (unix(7)).
//!
//! A record may be empty, and is never truncated: one that does not fit into the buffer is an error
//! with its real size. Types in `Blocking…` need no runtime.
//!
//! ```
//! use std::os::fd::AsFd;
//! use sockeye::Shutdown;
//! use sockeye::packet::BlockingSeqPacket;
//!
//! let (left, right) = BlockingSeqPacket::pair()?;
//! left.send(b"one")?;
//! left.send_msg(b"two", &[std::io::stdin().as_fd()])?; // with a duplicate of an fd
//! left.shutdown(Shutdown::Write)?; // half-close
//! let mut buffer = [0; 1024];
//! assert_eq!(right.recv(&mut buffer)?, Some(3));
//! let received = right.recv_msg(&mut buffer)?.expect("not EOF");
//! assert_eq!((received.bytes, received.descriptors.len()), (3, 1));
//! assert!(right.recv_msg(&mut buffer)?.is_none(), "EOF");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
