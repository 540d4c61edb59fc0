//! Content codings: a compressed body, made readable for checks and saves.
//!
//! Owns the bound on what comes out: a body of a few kilobytes can stand for gigabytes. Who only counts bytes decodes nothing.

use std::io::{self, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::BODY_MAX;
use crate::kind::ErrorKind;

/// What a client that wants compressed answers says it takes.
pub const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// Buffer of the brotli decoder, bytes.
const BROTLI_BUFFER: usize = 4 << 10;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`.
    Gzip,
    /// `deflate`: zlib, or bare deflate as some servers send it.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// Another one, or several on top of each other.
    Unknown,
}

impl Coding {
    /// What a `Content-Encoding` says; none if the body is as it is.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        Some(match () {
            () if value.is_empty() || is("identity") => return None,
            () if is("gzip") || is("x-gzip") => Self::Gzip,
            () if is("deflate") => Self::Deflate,
            () if is("br") => Self::Brotli,
            () if is("zstd") => Self::Zstd,
            () => Self::Unknown,
        })
    }

    /// The body that `coded` stands for, at most [`BODY_MAX`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::BadCoding`], or [`ErrorKind::TooLarge`] if more comes out.
    pub fn decode(self, coded: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        let bad = |_| ErrorKind::BadCoding;
        match self {
            // An answer without content bears the coding's name all the same.
            _ if coded.is_empty() => Ok(Vec::new()),
            Self::Gzip => bounded(flate2::read::MultiGzDecoder::new(coded)).map_err(bad)?,
            Self::Deflate => match bounded(flate2::read::ZlibDecoder::new(coded)) {
                Ok(body) => body,
                Err(_) => bounded(flate2::read::DeflateDecoder::new(coded)).map_err(bad)?,
            },
            Self::Brotli => {
                bounded(brotli_decompressor::Decompressor::new(coded, BROTLI_BUFFER)).map_err(bad)?
            }
            Self::Zstd => frames(coded),
            Self::Unknown => Err(ErrorKind::BadCoding),
        }
    }
}

/// All that the frames of a zstd body stand for, one behind the other (RFC 8878, 3.1). What a frame says of its own sum is not
/// compared: the decoder is built without the hash.
fn frames(mut coded: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    let (mut body, mut decoder) = (Vec::new(), FrameDecoder::new());
    while !coded.is_empty() {
        if let Some(length) = skipped(coded) {
            coded = coded.get(length..).ok_or(ErrorKind::BadCoding)?;
            continue;
        }
        if zstd_window(coded).is_some_and(|w| w > BODY_MAX as u64) {
            return Err(ErrorKind::TooLarge);
        }
        let frame = StreamingDecoder::new_with_decoder(&mut coded, &mut decoder);
        let frame = frame.map_err(|_| ErrorKind::BadCoding)?;
        let room = (BODY_MAX - body.len()) as u64;
        frame.take(room + 1).read_to_end(&mut body).map_err(|_| ErrorKind::BadCoding)?;
        if body.len() > BODY_MAX {
            return Err(ErrorKind::TooLarge);
        }
    }
    Ok(body)
}

/// Length of the frame that `coded` begins with, if it is one to be passed over (RFC 8878, 3.1.2).
fn skipped(coded: &[u8]) -> Option<usize> {
    match coded {
        [0x50..=0x5F, 0x2A, 0x4D, 0x18, a, b, c, d, ..] => {
            Some(8 + u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => None,
    }
}

/// The window that a zstd frame asks for, bytes (RFC 8878, 3.1.1.1). The decoder makes room for it before it looks at the
/// content, and a content coding never needs more than 8 MiB (RFC 9659).
fn zstd_window(coded: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 0x20;
    let &flags = coded.get(4)?;
    if flags & SINGLE_SEGMENT == 0 {
        let &window = coded.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // Without a window of its own, the size of the content is the window; it stands behind the dictionary's number.
    let at = 5 + [0, 1, 2, 4][usize::from(flags & 3)];
    let length = [1, 2, 4, 8][usize::from(flags >> 6)];
    let size = coded.get(at..at + length)?;
    Some(size.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
}

/// All that `reader` gives, unless it is too much.
fn bounded(reader: impl Read) -> io::Result<Result<Vec<u8>, ErrorKind>> {
    let mut body = Vec::new();
    reader.take(BODY_MAX as u64 + 1).read_to_end(&mut body)?;
    Ok(if body.len() > BODY_MAX { Err(ErrorKind::TooLarge) } else { Ok(body) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        coder.write_all(body).unwrap();
        coder.finish().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn each_coding_is_undone() {
        let body = b"{\"id\":7}".repeat(50);
        assert_eq!(Coding::Gzip.decode(&gzip(&body)), Ok(body.clone()));
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&body).unwrap();
        assert_eq!(Coding::Deflate.decode(&zlib.finish().unwrap()), Ok(body.clone()));
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        bare.write_all(&body).unwrap();
        assert_eq!(Coding::Deflate.decode(&bare.finish().unwrap()), Ok(body.clone()));
        let frame = zstd(&body);
        assert_eq!(Coding::Zstd.decode(&frame), Ok(body.clone()));
        // Two frames, and one between them that says nothing to us.
        let passed_over = [0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, b'a', b'n', b'y'];
        let joined = [&frame[..], &passed_over, &frame].concat();
        assert_eq!(Coding::Zstd.decode(&joined), Ok(body.repeat(2)));
        assert_eq!(Coding::Zstd.decode(&joined[..joined.len() - 1]), Err(ErrorKind::BadCoding));
        assert_eq!(Coding::Zstd.decode(&joined[..frame.len() + 10]), Err(ErrorKind::BadCoding));
        // Written by hand: one raw meta-block (RFC 7932, 9.2), then the empty last one.
        let brotli = [&[0x10, 0x00, 0x10][..], b"hi", &[0x03]].concat();
        assert_eq!(
            Coding::Brotli.decode(&brotli).map(|b| String::from_utf8(b).unwrap()),
            Ok("hi".to_owned())
        );
    }

    #[test]
    fn a_bomb_is_too_large() {
        let bomb = gzip(&vec![0; BODY_MAX + 1]);
        assert!(bomb.len() < 20_000);
        assert_eq!(Coding::Gzip.decode(&bomb), Err(ErrorKind::TooLarge));
        let greedy = [&[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xFF][..], &[0; 20]].concat();
        assert_eq!(Coding::Zstd.decode(&greedy), Err(ErrorKind::TooLarge));
        let large = [&[0x28, 0xB5, 0x2F, 0xFD, 0xE0][..], &[0xFF; 20]].concat();
        assert_eq!(Coding::Zstd.decode(&large), Err(ErrorKind::TooLarge));
        let half = zstd(&vec![0; BODY_MAX / 2 + 1]);
        assert_eq!(Coding::Zstd.decode(&[&half[..], &greedy].concat()), Err(ErrorKind::TooLarge));
        assert_eq!(Coding::Zstd.decode(&[&half[..], &half].concat()), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn what_is_broken_has_a_name() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd, Coding::Unknown] {
            assert_eq!(coding.decode(b"\xFFnonsense"), Err(ErrorKind::BadCoding), "{coding:?}");
            assert_eq!(coding.decode(b""), Ok(Vec::new()));
        }
        let whole = gzip(b"a body");
        assert_eq!(Coding::Gzip.decode(&whole[..whole.len() - 9]), Err(ErrorKind::BadCoding));
    }
}
