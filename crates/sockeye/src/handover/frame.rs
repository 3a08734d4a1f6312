//! [`Frame`]: the messages of a takeover.

/// The version of the protocol, in front of every frame.
const VERSION: u8 = 2;

/// One record on the control socket. All have one size, so a longer one is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// Successor: hand it over.
    Hello,
    /// Predecessor: here are the fds.
    Offer,
    /// Successor: they are the right ones, and all that can fail is done.
    Ready,
    /// Successor: it is mine from now on, and I serve.
    Serving,
    /// Predecessor: it stays mine, or is nobody's soon.
    Cancel,
    /// Predecessor: your user may not take it over.
    Denied,
    /// None of ours, or of another version.
    Unknown,
}

pub(crate) const SIZE: usize = 2;

impl Frame {
    pub(crate) fn encode(self) -> [u8; SIZE] {
        let kind = match self {
            Self::Unknown => 0,
            Self::Hello => 1,
            Self::Offer => 2,
            Self::Ready => 3,
            Self::Serving => 4,
            Self::Cancel => 5,
            Self::Denied => 6,
        };
        [VERSION, kind]
    }

    pub(crate) fn decode(record: &[u8]) -> Self {
        let all = [
            Self::Hello,
            Self::Offer,
            Self::Ready,
            Self::Serving,
            Self::Cancel,
            Self::Denied,
        ];
        let found = all.into_iter().find(|frame| frame.encode() == record);
        found.unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_encode_is_understood() {
        let mut known = 0;
        for version in 0..=255 {
            for kind in 0..=255 {
                let frame = Frame::decode(&[version, kind]);
                if frame != Frame::Unknown {
                    assert_eq!(frame.encode(), [version, kind]);
                    known += 1;
                }
            }
        }
        assert_eq!(known, 6);
        for record in [&[][..], &[VERSION], &[VERSION, 1, 0]] {
            assert_eq!(Frame::decode(record), Frame::Unknown);
        }
    }
}
