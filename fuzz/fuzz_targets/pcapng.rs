//! Any bytes are a recording or are refused, and what is found in them lies inside of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Vec<(u8, u8, Vec<u8>)>, Vec<u8>)| {
    let (blocks, rest) = input;
    sockeye::fuzzing::recording(&rest);
    let mut file = Vec::new();
    block(
        &mut file,
        0x0a0d_0d0a,
        b"\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    );
    for (kind, link, bytes) in &blocks {
        match kind % 6 {
            0 => {
                let link = [228_u16, 101, 252, 1][usize::from(link % 4)];
                let mut body = link.to_le_bytes().to_vec();
                body.extend_from_slice(&[0; 6]);
                body.extend_from_slice(bytes);
                block(&mut file, 1, &body);
            }
            1 => block(&mut file, 3, bytes),
            2 => block(&mut file, 0x8053_6f63, bytes),
            3 => block(&mut file, u32::from(*link), bytes),
            _ => {
                let size = (bytes.len() as u32).to_le_bytes();
                let mut body = vec![0; 12];
                body[8..].copy_from_slice(&[*link, 0, 0, 0]);
                body.extend_from_slice(&size);
                body.extend_from_slice(&size);
                body.extend_from_slice(bytes);
                block(&mut file, 6, &body);
            }
        }
    }
    file.extend_from_slice(&rest);
    sockeye::fuzzing::recording(&file);
});

fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padding = body.len().wrapping_neg() % 4;
    let length = (12 + body.len() + padding) as u32;
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(body);
    file.extend_from_slice(&[0; 3][..padding]);
    file.extend_from_slice(&length.to_le_bytes());
}
