//! [`RecorderOptions`]: how a recording names things.

use std::fmt::Display;

use super::pdu::MOST_NAME;

/// How a recording names things for Wireshark. Nothing of it changes what [`Recording`](super::Recording)
/// reads.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) dissector: String,
}

impl RecorderOptions {
    /// Options with the name of the interface: the address of the server.
    #[must_use]
    pub fn new(name: impl Display) -> Self {
        Self {
            name: name.to_string(),
            port: 80,
            dissector: "data".to_owned(),
        }
    }

    /// The port of the server, by which Wireshark chooses a dissector for streams. The default is 80, HTTP.
    /// With it Wireshark looks for the end of a header in whatever is no HTTP, which takes minutes for
    /// 100 MB in one direction: give other protocols another port, such as 9.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The dissector of Wireshark for records and datagrams, such as `dns` (`tshark -G dissectors` lists
    /// them). The default is `data`. At most 255 bytes count.
    #[must_use]
    pub fn dissector(mut self, name: &str) -> Self {
        self.dissector = name.chars().filter(|c| *c != '\0').collect();
        let end = self.dissector.floor_char_boundary(MOST_NAME);
        self.dissector.truncate(end);
        self
    }
}
