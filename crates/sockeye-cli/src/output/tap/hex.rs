//! Bytes as xxd(1) shows them.

use std::io::{self, Write};

/// Bytes in a line.
const LINE: usize = 16;
/// What the bytes of a full line take: groups of two.
const WIDTH: usize = LINE * 2 + LINE / 2 - 1;

/// Writes lines of offset, bytes and ASCII, which `xxd -r` reads.
pub(super) fn dump(out: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    for (number, line) in bytes.chunks(LINE).enumerate() {
        write!(out, "{:08x}: ", number * LINE)?;
        let start = out.len();
        for (at, byte) in line.iter().enumerate() {
            let gap = if at > 0 && at % 2 == 0 { " " } else { "" };
            write!(out, "{gap}{byte:02x}")?;
        }
        out.resize(start + WIDTH, b' ');
        out.extend_from_slice(b"  ");
        let is_shown = |byte: &u8| matches!(byte, b' '..=b'~');
        let shown = line
            .iter()
            .map(|byte| if is_shown(byte) { *byte } else { b'.' });
        out.extend(shown);
        out.push(b'\n');
    }
    Ok(())
}
