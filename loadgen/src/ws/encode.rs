//! Writing frames as a client must: masked.

/// Final frame.
const FIN: u8 = 0x80;
/// Beside an opcode: the message is compressed (RSV1).
pub const COMPRESSED: u8 = 0x40;
/// The payload is masked.
const MASKED: u8 = 0x80;

/// Appends one whole masked frame to `out`.
pub fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    piece(out, FIN | opcode, payload, mask);
}

/// Appends a message in as many masked frames as it takes with at most `most` bytes in each, and `most` at least 1. That it is
/// compressed is said once, in the first one (RFC 7692, 6).
pub fn message(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4], most: usize) {
    let (mut first, mut rest, mut mask) = (opcode, payload, mask);
    while rest.len() > most.max(1) {
        let (now, later) = rest.split_at(most.max(1));
        piece(out, first, now, mask);
        (first, rest) = (super::opcode::CONTINUATION, later);
        // Each frame has a mask of its own (RFC 6455, 5.3).
        mask = u32::from_ne_bytes(mask).wrapping_mul(0x9E37_79B1).rotate_left(15).to_ne_bytes();
    }
    piece(out, FIN | first, rest, mask);
}

fn piece(out: &mut Vec<u8>, first: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(first);
    match payload.len() {
        n @ 0..=125 => out.push(MASKED | n as u8),
        n @ 126..=0xFFFF => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply(&mut out[start..], mask);
}

/// Appends a close frame with `code` (RFC 6455, 7.4) and no reason.
pub fn close(out: &mut Vec<u8>, code: u16, mask: [u8; 4]) {
    frame(out, super::opcode::CLOSE, &code.to_be_bytes(), mask);
}

/// Masks, or unmasks, in place: eight bytes at a time.
pub fn apply(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = bytes.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
    }
    for (byte, m) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= m;
    }
}
