//! The chunked coding of HTTP/1.1, read in any portions.
//!
//! Owns sizes, extensions (skipped), data and trailers (skipped); bounded state, whatever comes in.

use crate::kind::ErrorKind;

/// Longest size line or trailer line, bytes: extensions are hardly ever used.
const LINE_MAX: u16 = 8 << 10;
/// Longest trailer section, bytes.
const TRAILERS_MAX: u32 = super::HEAD_MAX as u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    Size,
    /// Behind the digits, before the line's end.
    Extension,
    /// A carriage return was read, a line feed must follow.
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// At the first byte of a trailer line.
    TrailerStart,
    Trailer,
    /// A carriage return inside the trailers; ends all if the line is empty.
    TrailerLf {
        last: bool,
    },
    Done,
}

/// Where in a chunked body the reader is.
#[derive(Debug, Clone)]
pub struct Chunks {
    at: At,
    left: u64,
    digits: u8,
    line: u16,
    trailers: u32,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size, left: 0, digits: 0, line: 0, trailers: 0 }
    }
}

impl Chunks {
    /// Is the body whole?
    #[must_use]
    pub fn done(&self) -> bool {
        self.at == At::Done
    }

    /// Reads from `bytes` up to the end of the body, giving its data to `data`; says how many were read.
    ///
    /// # Errors
    /// [`ErrorKind::BadChunk`], or what `data` returns.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), ErrorKind>,
    ) -> Result<usize, ErrorKind> {
        let mut i = 0;
        while i < bytes.len() && self.at != At::Done {
            if self.at == At::Data {
                let n = self.left.min((bytes.len() - i) as u64) as usize;
                data(&bytes[i..i + n])?;
                i += n;
                self.left -= n as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.step(bytes[i])?;
                i += 1;
            }
        }
        Ok(i)
    }

    fn step(&mut self, b: u8) -> Result<(), ErrorKind> {
        const BAD: ErrorKind = ErrorKind::BadChunk;
        self.at = match (self.at, b) {
            (At::Size, b) if b.is_ascii_hexdigit() => {
                self.digits += 1;
                // 15 digits are below 2^60: the size cannot overflow, and nobody sends an exabyte.
                if self.digits > 15 {
                    return Err(BAD);
                }
                let digit = (b as char).to_digit(16).expect("a hexadecimal digit");
                self.left = self.left << 4 | u64::from(digit);
                At::Size
            }
            (At::Size, _) if self.digits == 0 => return Err(BAD),
            (At::Size | At::Extension, b'\r') => At::SizeEnd,
            (At::Size, b';' | b' ' | b'\t') => At::Extension,
            (At::Extension, b) if b != b'\n' => {
                self.line += 1;
                if self.line > LINE_MAX {
                    return Err(BAD);
                }
                At::Extension
            }
            (At::SizeEnd, b'\n') => self.size_known(),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::TrailerStart, b'\r') => At::TrailerLf { last: true },
            (At::Trailer, b'\r') => At::TrailerLf { last: false },
            (At::TrailerStart | At::Trailer, b) if b != b'\n' => {
                self.trailers += 1;
                if self.trailers > TRAILERS_MAX {
                    return Err(ErrorKind::TooLarge);
                }
                At::Trailer
            }
            (At::TrailerLf { last }, b'\n') => {
                if last {
                    At::Done
                } else {
                    At::TrailerStart
                }
            }
            _ => return Err(BAD),
        };
        Ok(())
    }

    fn size_known(&mut self) -> At {
        (self.digits, self.line) = (0, 0);
        if self.left == 0 { At::TrailerStart } else { At::Data }
    }
}
