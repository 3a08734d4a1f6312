//! [`RecordedInterface`]: the link type of packets, and what their times mean.

use super::byte_order::{ByteOrder, block_options};
use super::pcapng::{INTERFACE_OFFSET, INTERFACE_RESOLUTION};

const NANOSECONDS: u64 = 1_000_000_000;

/// An interface of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordedInterface {
    pub(super) link: u16,
    /// The most bytes of a packet.
    pub(super) snap_length: u32,
    /// Of `if_tsresol`: a negative power of 10, or of 2 with the highest bit.
    resolution: u8,
    /// Seconds to add.
    offset: i64,
}

impl RecordedInterface {
    /// `None` where the block is too short.
    pub(super) fn parse(body: &[u8], order: ByteOrder) -> Option<Self> {
        let snap_length = order.u32(body, 4)?;
        let mut interface = Self {
            link: order.u16(body, 0)?,
            snap_length: if snap_length == 0 {
                u32::MAX
            } else {
                snap_length
            },
            resolution: 6,
            offset: 0,
        };
        for (code, value) in block_options(&body[8..], order) {
            match (code, value) {
                (INTERFACE_RESOLUTION, [resolution, ..]) => interface.resolution = *resolution,
                (INTERFACE_OFFSET, _) => {
                    interface.offset = order.u64(value, 0).map_or(0, u64::cast_signed);
                }
                _ => {}
            }
        }
        Some(interface)
    }

    /// A time of this interface in nanoseconds since 1970, as far as they can be counted.
    pub(super) fn nanoseconds(&self, ticks: u64) -> u64 {
        let power = self.resolution & 0x7f;
        let nanoseconds = if self.resolution & 0x80 != 0 {
            let scaled = u128::from(ticks) * u128::from(NANOSECONDS);
            scaled.checked_shr(u32::from(power)).unwrap_or(0)
        } else if power <= 9 {
            u128::from(ticks) * 10_u128.pow(9 - u32::from(power))
        } else {
            let divisor = 10_u128.checked_pow(u32::from(power) - 9);
            divisor.map_or(0, |divisor| u128::from(ticks) / divisor)
        };
        let nanoseconds = i128::try_from(nanoseconds).unwrap_or(i128::MAX);
        let offset = i128::from(self.offset) * i128::from(NANOSECONDS);
        let shifted = nanoseconds.saturating_add(offset);
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_resolution_are_nanoseconds() {
        let interface = |resolution, offset| RecordedInterface {
            link: 228,
            snap_length: u32::MAX,
            resolution,
            offset,
        };
        assert_eq!(interface(6, 0).nanoseconds(1_500_000), 1_500_000_000);
        assert_eq!(interface(9, 2).nanoseconds(7), 2_000_000_007);
        assert_eq!(interface(0, -1).nanoseconds(3), 2_000_000_000);
        assert_eq!(interface(12, 0).nanoseconds(5_000), 5);
        assert_eq!(interface(0x80 | 1, 0).nanoseconds(3), 1_500_000_000);
        assert_eq!(interface(0, i64::MIN).nanoseconds(1), 0);
        for resolution in 0..=u8::MAX {
            interface(resolution, i64::MAX).nanoseconds(u64::MAX);
        }
    }
}
