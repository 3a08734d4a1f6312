//! [`Http2Wire`]: the streams of HTTP/2 that are open (RFC 9113).

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// `GOAWAY` without an error, which ends none of the streams that the client has opened by now.
const NO_MORE: [u8; 17] = [
    0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0,
];

/// Both directions of a connection, behind the preface.
#[derive(Debug, Default)]
pub(in crate::http) struct Http2Wire {
    received: FrameScan,
    sent: FrameScan,
    /// The requests that are not answered. There are no more than the server allows.
    open: Vec<u32>,
    /// The last stream that the client has opened.
    last: u32,
    has_said_goaway: bool,
}

impl Http2Wire {
    pub(super) fn new(sent: FrameScan) -> Self {
        Self {
            sent,
            ..Self::default()
        }
    }

    pub(in crate::http) fn receive(&mut self, bytes: &[u8]) {
        let (open, last) = (&mut self.open, &mut self.last);
        self.received.feed(bytes, |frame| match frame.kind {
            // Later ones with the same id are trailers.
            HEADERS if frame.stream > *last => {
                *last = frame.stream;
                open.push(frame.stream);
            }
            RST_STREAM => open.retain(|&stream| stream != frame.stream),
            _ => {}
        });
    }

    pub(in crate::http) fn send(&mut self, bytes: &[u8]) {
        let open = &mut self.open;
        self.sent.feed(bytes, |frame| {
            let is_last = frame.kind == RST_STREAM
                || matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
            if is_last {
                open.retain(|&stream| stream != frame.stream);
            }
        });
    }

    /// Whether all responses were sent.
    pub(in crate::http) fn is_answered(&self) -> bool {
        self.open.is_empty()
    }

    pub(in crate::http) fn is_idle(&self) -> bool {
        self.is_answered() && self.received.is_between() && self.sent.is_between()
    }

    pub(super) fn take_goaway(&mut self) -> Option<[u8; 17]> {
        // The first frame is SETTINGS.
        let can_send = self.sent.is_between() && self.sent.has_begun;
        if !can_send || std::mem::replace(&mut self.has_said_goaway, true) {
            return None;
        }
        Some(NO_MORE)
    }
}

/// Where frames begin, in the bytes of one direction.
#[derive(Debug, Default)]
pub(in crate::http) struct FrameScan {
    header: [u8; 9],
    filled: usize,
    /// How much of the payload is left.
    left: usize,
    has_begun: bool,
}

pub(super) struct FrameHeader {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameScan {
    fn is_between(&self) -> bool {
        self.filled == 0 && self.left == 0
    }

    /// Calls `note` for each frame once all of it has passed.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut note: impl FnMut(FrameHeader)) {
        while !bytes.is_empty() {
            if self.filled < self.header.len() {
                let length = bytes.len().min(self.header.len() - self.filled);
                self.header[self.filled..][..length].copy_from_slice(&bytes[..length]);
                self.filled += length;
                bytes = &bytes[length..];
                if self.filled < self.header.len() {
                    return;
                }
                let [high, middle, low, ..] = self.header;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
            }
            let length = bytes.len().min(self.left);
            self.left -= length;
            bytes = &bytes[length..];
            if self.left == 0 {
                self.filled = 0;
                self.has_begun = true;
                let [_, _, _, kind, flags, a, b, c, d] = self.header;
                note(FrameHeader {
                    kind,
                    flags,
                    stream: u32::from_be_bytes([a & 0x7f, b, c, d]),
                });
            }
        }
    }
}
