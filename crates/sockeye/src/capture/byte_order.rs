//! [`ByteOrder`]: numbers and options of a section.

use super::pcapng::{OPTION_END, padding};

/// The byte order of a section.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByteOrder {
    is_big: bool,
}

impl ByteOrder {
    pub(super) fn swapped(self) -> Self {
        let is_big = !self.is_big;
        Self { is_big }
    }

    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        let number = u16::from_le_bytes(*bytes);
        Some(if self.is_big {
            number.swap_bytes()
        } else {
            number
        })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        let number = u32::from_le_bytes(*bytes);
        Some(if self.is_big {
            number.swap_bytes()
        } else {
            number
        })
    }

    pub(super) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let (first, second) = (self.u32(bytes, at)?, self.u32(bytes, at + 4)?);
        let (high, low) = if self.is_big {
            (first, second)
        } else {
            (second, first)
        };
        Some(u64::from(high) << 32 | u64::from(low))
    }
}

/// The options at the end of a block, as far as they are whole.
pub(super) fn block_options(bytes: &[u8], order: ByteOrder) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (code, length) = (order.u16(rest, 0)?, usize::from(order.u16(rest, 2)?));
        if code == OPTION_END {
            return None;
        }
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length + padding(length)..).unwrap_or_default();
        Some((code, value))
    })
}
