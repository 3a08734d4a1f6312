//! A client that expects things.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::PATIENCE;

/// One connection; whatever does not come within the patience fails the test.
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    #[track_caller]
    pub(crate) fn connect(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self::of(
            UnixStream::connect(path)
                .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", path.display())),
        )
    }

    #[track_caller]
    pub(crate) fn connect_abstract(name: &[u8]) -> Self {
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        Self::of(UnixStream::connect_addr(&address).expect("a listening server"))
    }

    pub(crate) fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Self(BufReader::new(stream))
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.0.get_ref()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends as much as goes in while nothing is taken out, and returns how much that was.
    ///
    /// What the server still takes in later makes no difference: only what was sent counts.
    pub(crate) fn send_until_stuck(&mut self, byte: impl Fn(usize) -> u8) -> usize {
        self.stream().set_nonblocking(true).expect("our own");
        let mut sent = 0;
        let mut stuck = 0;
        while stuck < 5 {
            let chunk: Vec<u8> = (sent..sent + 8192).map(&byte).collect();
            match self.0.get_mut().write(&chunk) {
                Ok(count) => {
                    sent += count;
                    stuck = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    stuck += 1;
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("cannot send: {error}"),
            }
        }
        self.stream().set_nonblocking(false).expect("our own");
        sent
    }

    /// Half-closes: nothing more will be sent.
    #[track_caller]
    pub(crate) fn finish(&self) {
        self.stream()
            .shutdown(Shutdown::Write)
            .expect("half-closed");
    }

    /// One line of the answer, without its newline.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer in time");
        line.strip_suffix('\n')
            .unwrap_or_else(|| panic!("a whole line, not {line:?}"))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0
            .read_exact(&mut bytes)
            .expect("as many bytes in time");
        bytes
    }

    /// Everything up to the end of input, which must be an orderly one.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0
            .read_to_end(&mut bytes)
            .expect("an orderly end in time");
        bytes
    }

    /// Everything up to the end of input, or to a reset.
    pub(crate) fn rest_or_reset(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        bytes
    }

    /// The server closed (or reset) the connection and sent nothing before.
    #[track_caller]
    pub(crate) fn is_cut(&mut self) {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection is still open: {error}"),
        }
        assert_eq!(String::from_utf8_lossy(&bytes), "", "no answer");
    }

    /// Nothing comes for as long, and the connection stays open.
    #[track_caller]
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) {
        self.stream()
            .set_read_timeout(Some(time))
            .expect("not zero");
        loop {
            match self.0.fill_buf() {
                Ok(bytes) => panic!("came: {:?}", String::from_utf8_lossy(bytes)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        self.stream()
            .set_read_timeout(Some(PATIENCE))
            .expect("not zero");
    }

    /// Sends a line and expects the usual reply.
    #[track_caller]
    pub(crate) fn converse(&mut self, message: &str) {
        self.send(format!("{message}\n"));
        assert_eq!(self.line(), super::REPLY);
    }
}
