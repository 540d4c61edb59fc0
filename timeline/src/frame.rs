//! Frames: checked blocks of bytes, the common envelope of recording and worker protocol.
//!
//! A frame is `kind u8 | codec u8 | reserved u16 | length u32 | checksum u32 | body`, little-endian; the
//! checksum (CRC-32) covers kind, codec and body. Owns packing and unpacking, over slices and over any
//! blocking or buffered byte source; what a body means belongs to whoever uses the frame.

use std::io::{Read, Write};

use thiserror::Error;

/// Bytes before the body.
pub const HEADER: usize = 12;
/// Longest body that is accepted, bytes.
pub const MAX_BODY: usize = 64 << 20;
/// Bodies shorter than this are not worth compressing, bytes.
const WORTH_COMPRESSING: usize = 256;

/// The body as it is.
const RAW: u8 = 0;
/// The body after raw DEFLATE.
const DEFLATE: u8 = 1;

/// A whole, checked, unpacked frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body means.
    pub kind: u8,
    /// The unpacked body.
    pub body: Vec<u8>,
}

/// Why bytes are not a frame.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadFrame {
    /// The bytes end inside a frame: more may come.
    #[error("the bytes end inside a block")]
    Incomplete,
    /// Checksum or codec do not fit; `skip` bytes lead past it if its length can be believed.
    #[error("damaged block of type {kind}: {why}")]
    Damaged {
        /// Type byte as read.
        kind: u8,
        /// What does not fit.
        why: String,
        /// Bytes to the next frame.
        skip: usize,
    },
    /// The length cannot be believed.
    #[error("a block of {0} bytes is announced, at most {MAX_BODY} expected")]
    TooLong(usize),
}

/// Packs a body; compresses it where that helps.
#[must_use]
pub fn pack(kind: u8, body: &[u8]) -> Vec<u8> {
    packed(kind, body, flate2::Compression::fast())
}

/// The same with more work and a tenth fewer bytes: for what is kept.
#[must_use]
pub fn pack_to_keep(kind: u8, body: &[u8]) -> Vec<u8> {
    packed(kind, body, flate2::Compression::default())
}

fn packed(kind: u8, body: &[u8], level: flate2::Compression) -> Vec<u8> {
    if body.len() >= WORTH_COMPRESSING {
        let mut packer = flate2::write::DeflateEncoder::new(Vec::with_capacity(body.len() / 2), level);
        packer.write_all(body).expect("writing to a vector cannot fail");
        let packed = packer.finish().expect("writing to a vector cannot fail");
        if packed.len() < body.len() {
            return envelope(kind, DEFLATE, &packed);
        }
    }
    envelope(kind, RAW, body)
}

/// Packs a body as it is: for whoever compresses many frames together.
#[must_use]
pub fn pack_raw(kind: u8, body: &[u8]) -> Vec<u8> {
    envelope(kind, RAW, body)
}

fn envelope(kind: u8, codec: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.extend_from_slice(&[kind, codec, 0, 0]);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum(kind, codec, body).to_le_bytes());
    out.extend_from_slice(body);
    out
}

fn checksum(kind: u8, codec: u8, body: &[u8]) -> u32 {
    let mut h = crc32fast::Hasher::new();
    h.update(&[kind, codec]);
    h.update(body);
    h.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Length of the body that the first bytes announce; none where they are no head of a frame, or not all of it is there.
#[must_use]
pub fn announced(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<HEADER>()?;
    let length = u32_at(head, 4) as usize;
    let is_head = head[1] <= DEFLATE && head[2..4] == [0, 0] && length <= MAX_BODY;
    (is_head && length <= bytes.len() - HEADER).then_some(length)
}

/// Unpacks the first frame of `bytes`; also says how many bytes it took.
///
/// # Errors
/// [`BadFrame`]: incomplete, damaged, or too long to be believed.
pub fn unpack(bytes: &[u8]) -> Result<(Frame, usize), BadFrame> {
    if bytes.len() < HEADER {
        return Err(BadFrame::Incomplete);
    }
    let (kind, codec) = (bytes[0], bytes[1]);
    let length = u32_at(bytes, 4) as usize;
    if length > MAX_BODY {
        return Err(BadFrame::TooLong(length));
    }
    let whole = HEADER + length;
    let Some(packed) = bytes.get(HEADER..whole) else {
        return Err(BadFrame::Incomplete);
    };
    let damaged = |why: String| BadFrame::Damaged { kind, why, skip: whole };
    if checksum(kind, codec, packed) != u32_at(bytes, 8) {
        return Err(damaged("checksum does not fit".to_owned()));
    }
    let body = match codec {
        RAW => packed.to_vec(),
        DEFLATE => {
            let mut body = Vec::new();
            flate2::read::DeflateDecoder::new(packed)
                .take(MAX_BODY as u64 + 1)
                .read_to_end(&mut body)
                .map_err(|e| damaged(e.to_string()))?;
            if body.len() > MAX_BODY {
                return Err(BadFrame::TooLong(body.len()));
            }
            body
        }
        other => return Err(damaged(format!("codec {other} is not known"))),
    };
    Ok((Frame { kind, body }, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(kind: u8, body in prop::collection::vec(any::<u8>(), 0..2000), zeros in 0usize..3000) {
            let mut body = body;
            body.extend(std::iter::repeat_n(0, zeros));
            let packed = pack(kind, &body);
            prop_assert_eq!(unpack(&packed).unwrap(), (Frame { kind, body }, packed.len()));
        }

        #[test]
        fn a_flipped_bit_is_seen(body in prop::collection::vec(any::<u8>(), 1..600), at: prop::sample::Index, bit in 0u8..8) {
            let mut packed = pack(3, &body);
            let i = at.index(packed.len());
            if i != 2 && i != 3 { // reserved bytes carry nothing
                packed[i] ^= 1 << bit;
                prop_assert!(unpack(&packed).is_err());
            }
        }

        #[test]
        fn any_cut_is_incomplete(body in prop::collection::vec(any::<u8>(), 0..600), at: prop::sample::Index) {
            let packed = pack(9, &body);
            prop_assert_eq!(unpack(&packed[..at.index(packed.len())]), Err(BadFrame::Incomplete));
        }
    }
}
