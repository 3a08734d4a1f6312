//! A connection of a `Server` as zlink sees it. A call ends with a NUL byte. Fds go to clients only.

use std::io;
use std::os::fd::AsFd;

use sockeye::server::{OwnedConnectionReadHalf, OwnedConnectionWriteHalf};
use sockeye::{Bytes, Connection, Framing, Messages};
use zlink::connection::PassedCredentials;
use zlink::connection::socket::{ReadHalf, ReadResult, Socket, WriteHalf};

/// The most bytes of one read, and of one call: zlink's own limit is 100 MB.
const LIMIT: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct VarlinkSocket(pub(crate) Connection);

impl Socket for VarlinkSocket {
    type ReadHalf = VarlinkReader;
    type WriteHalf = VarlinkWriter;

    const CAN_TRANSFER_FDS: bool = true;

    fn split(self) -> (VarlinkReader, VarlinkWriter) {
        let (reader, writer) = self.0.into_split();
        let reader = VarlinkReader {
            // Each read is a message of it; in a drain there are none once those that have come are read.
            reads: Messages::new(reader, Framing::Raw, LIMIT),
            rest: Bytes::new(),
            call: 0,
        };
        (reader, VarlinkWriter(writer))
    }
}

#[derive(Debug)]
pub(crate) struct VarlinkReader {
    reads: Messages<OwnedConnectionReadHalf>,
    rest: Bytes,
    /// How many bytes of an unfinished call there are.
    call: usize,
}

impl ReadHalf for VarlinkReader {
    async fn read(&mut self, buffer: &mut [u8]) -> zlink::Result<ReadResult> {
        if self.rest.is_empty() {
            let read = self.reads.next().await.map_err(io::Error::other)?;
            let Some(read) = read else {
                return Ok(ReadResult::new(0));
            };
            self.call = match read.payload.iter().rposition(|&byte| byte == 0) {
                Some(end) => read.payload.len() - end,
                None => self.call + read.payload.len(),
            };
            if self.call > LIMIT {
                return Err(zlink::Error::BufferOverflow);
            }
            self.rest = read.payload;
        }
        let part = self.rest.split_to(self.rest.len().min(buffer.len()));
        buffer[..part.len()].copy_from_slice(&part);
        Ok(ReadResult::new(part.len()))
    }
}

#[derive(Debug)]
pub(crate) struct VarlinkWriter(OwnedConnectionWriteHalf);

impl WriteHalf for VarlinkWriter {
    async fn write(
        &mut self,
        bytes: &[u8],
        fds: &[impl AsFd],
        _credentials: Option<&PassedCredentials>,
    ) -> zlink::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let sent = self.0.send_msg(bytes, &fds).await;
        Ok(sent.map_err(io::Error::other)?)
    }
}
