//! Content codings of a body that does not end: what came is undone at once.
//!
//! Owns the bound on what comes out of a few bytes. `zstd` is missing: its decoder gives nothing away before a whole window
//! has come, so it is not asked for on a stream, and refused where a server uses it unasked. `br` is read, but not asked for:
//! the server chooses a window of up to 16 MiB, usually 4, which each stream holds for as long as it is open.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::coding::Coding;
use crate::kind::ErrorKind;
use crate::room::Share;

/// What a client that wants compressed events says it takes.
pub const ACCEPTED: &str = "gzip, deflate";

/// Coded bytes that are undone at a time: what comes out of so many is held at once.
const PORTION: usize = 256;
/// Buffer of the brotli decoder, bytes.
const BROTLI_BUFFER: usize = 4 << 10;

/// A coding that is being undone.
#[derive(Debug)]
pub struct Inflow {
    decoder: Box<Decoder>,
    /// What of the worker's room the window takes that the server has chosen.
    share: Share,
}

#[expect(clippy::large_enum_variant, reason = "it is boxed as a whole")]
enum Decoder {
    Gzip(MultiGzDecoder<Sink>),
    /// `deflate`, of which nothing has come: its first byte tells which of the two it is.
    Deflate(usize),
    /// `br`, of which nothing has come: its first byte tells how large a window is wanted.
    Unbegun(usize),
    Zlib(ZlibDecoder<Sink>),
    Bare(DeflateDecoder<Sink>),
    Brotli(DecompressorWriter<Sink>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

/// What has come out, as far as there is room for it.
struct Sink {
    out: Vec<u8>,
    room: usize,
    full: bool,
}

impl Sink {
    fn new(room: usize) -> Self {
        Self { out: Vec::new(), room, full: false }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full |= self.out.len() + bytes.len() > self.room;
        if self.full {
            return Err(io::Error::other("too much comes out"));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflow {
    /// Undoes `coding`; at most `room` bytes may come out of a few.
    ///
    /// # Errors
    /// [`ErrorKind::BadCoding`] for one that no stream can have.
    pub fn new(coding: Coding, room: usize) -> Result<Self, ErrorKind> {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(Sink::new(room))),
            Coding::Deflate => Decoder::Deflate(room),
            Coding::Brotli => Decoder::Unbegun(room),
            Coding::Zstd | Coding::Unknown => return Err(ErrorKind::BadCoding),
        };
        Ok(Self { decoder: Box::new(decoder), share: Share::default() })
    }

    /// Undoes `coded` and gives all that comes of it to `data`.
    ///
    /// # Errors
    /// [`ErrorKind::BadCoding`], [`ErrorKind::TooLarge`], [`ErrorKind::NoRoom`], or what `data` returns.
    pub fn feed(
        &mut self,
        coded: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), ErrorKind>,
    ) -> Result<(), ErrorKind> {
        if let Some(&first) = coded.first() {
            self.begin(first)?;
        }
        for portion in coded.chunks(PORTION) {
            let (written, sink) = match &mut *self.decoder {
                Decoder::Gzip(d) => (put(d, portion), d.get_mut()),
                Decoder::Zlib(d) => (put(d, portion), d.get_mut()),
                Decoder::Bare(d) => (put(d, portion), d.get_mut()),
                Decoder::Brotli(d) => (put(d, portion), d.get_mut()),
                Decoder::Deflate(_) | Decoder::Unbegun(_) => return Ok(()),
            };
            if written.is_err() {
                return Err(if sink.full { ErrorKind::TooLarge } else { ErrorKind::BadCoding });
            }
            // Nothing is kept of it between two portions: an idle stream owns no buffer of its size.
            data(&std::mem::take(&mut sink.out))?;
        }
        Ok(())
    }

    /// The first byte of a portion: where it is the first of all, it tells what it takes to undo the rest.
    fn begin(&mut self, first: u8) -> Result<(), ErrorKind> {
        let begun = match &*self.decoder {
            Decoder::Deflate(room) => {
                let sink = Sink::new(*room);
                // RFC 1950, 2.2: zlib begins with its method, 8, and a window of at most 2^15; bare deflate hardly ever does.
                let is_zlib = first & 0x0F == 8 && first >> 4 <= 7;
                if is_zlib {
                    Decoder::Zlib(ZlibDecoder::new(sink))
                } else {
                    Decoder::Bare(DeflateDecoder::new(sink))
                }
            }
            Decoder::Unbegun(room) => {
                self.share.is(brotli_window(first))?;
                Decoder::Brotli(DecompressorWriter::new(Sink::new(*room), BROTLI_BUFFER))
            }
            _ => return Ok(()),
        };
        *self.decoder = begun;
        Ok(())
    }
}

/// The window that a brotli stream asks for by its first byte, bytes (RFC 7932, 9.1).
fn brotli_window(first: u8) -> usize {
    let (three, further) = (first >> 1 & 7, first >> 4 & 7);
    let bits = match (first & 1, three, further) {
        (0, ..) => 16,
        (_, 1.., _) => 17 + three,
        (_, 0, 0) => 17,
        (_, 0, _) => 8 + further,
    };
    1 << bits
}

/// Puts it all in, and gets out what can be had of it.
fn put(decoder: &mut impl Write, coded: &[u8]) -> io::Result<()> {
    decoder.write_all(coded)?;
    decoder.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::ROOM;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    /// Codes each part and flushes, as servers do behind an event.
    macro_rules! coded {
        ($encoder:ident, $parts:expr) => {{
            let mut encoder = $encoder::new(Vec::new(), Compression::best());
            let mut coded: Vec<Vec<u8>> = Vec::new();
            for part in $parts {
                encoder.write_all(part).unwrap();
                encoder.flush().unwrap();
                coded.push(std::mem::take(encoder.get_mut()));
            }
            coded
        }};
    }

    fn fed(flow: &mut Inflow, coded: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        let mut out = Vec::new();
        flow.feed(coded, |data| {
            out.extend_from_slice(data);
            Ok(())
        })?;
        Ok(out)
    }

    /// A gzip member of its own for each part.
    fn members(parts: [&[u8]; 2]) -> Vec<Vec<u8>> {
        let member = |part: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        };
        parts.map(member).to_vec()
    }

    #[test]
    fn what_was_flushed_comes_out_at_once() {
        let parts = [&b"data: one\n\n"[..], b"data: two\n\n"];
        let cases = [
            (Coding::Gzip, coded!(GzEncoder, parts)),
            (Coding::Gzip, members(parts)),
            (Coding::Deflate, coded!(ZlibEncoder, parts)),
            (Coding::Deflate, coded!(DeflateEncoder, parts)),
        ];
        for (coding, coded) in cases {
            for whole in [true, false] {
                let mut flow = Inflow::new(coding, 1000).unwrap();
                for (coded, part) in coded.iter().zip(parts) {
                    let step = if whole { coded.len() } else { 1 };
                    let out: Result<Vec<Vec<u8>>, _> =
                        coded.chunks(step).map(|c| fed(&mut flow, c)).collect();
                    assert_eq!(out.unwrap().concat(), part, "{coding:?}");
                }
            }
        }
        // The end of a member and the next one's head in one portion.
        let mut flow = Inflow::new(Coding::Gzip, 1000).unwrap();
        assert_eq!(fed(&mut flow, &members(parts).concat()), Ok(parts.concat()));
        // One raw meta-block (RFC 7932, 9.2), and no end yet.
        let mut flow = Inflow::new(Coding::Brotli, 1000).unwrap();
        let brotli = [&[0x10, 0x00, 0x10][..], b"hi"].concat();
        assert_eq!(fed(&mut flow, &brotli), Ok(b"hi".to_vec()));
    }

    #[test]
    fn the_window_of_a_stream_takes_room() {
        // The examples of RFC 7932, 9.1.
        let windows = [(0b0, 16), (0b000_0001, 17), (0b011, 18), (0b1111, 24), (0b010_0001, 10)];
        for (first, bits) in windows {
            assert_eq!(brotli_window(first), 1 << bits, "{first:b}");
        }
        let open = || {
            let mut flow = Inflow::new(Coding::Brotli, 1000).unwrap();
            fed(&mut flow, &[0b1111]).map(|_| flow)
        };
        let all: Vec<Inflow> = (0..ROOM >> 24).map(|_| open().unwrap()).collect();
        assert_eq!(open().unwrap_err(), ErrorKind::NoRoom);
        drop(all);
        assert!(open().is_ok());
    }

    #[test]
    fn a_bomb_is_too_large_and_nonsense_is_bad() {
        let bomb = coded!(GzEncoder, [&vec![0; 1 << 20][..]]).concat();
        let mut flow = Inflow::new(Coding::Gzip, 100_000).unwrap();
        assert_eq!(fed(&mut flow, &bomb), Err(ErrorKind::TooLarge));
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            let mut flow = Inflow::new(coding, 1000).unwrap();
            assert_eq!(
                fed(&mut flow, b"\xFFnonsense, and more of it"),
                Err(ErrorKind::BadCoding),
                "{coding:?}"
            );
        }
        assert_eq!(Inflow::new(Coding::Zstd, 1).unwrap_err(), ErrorKind::BadCoding);
    }
}
