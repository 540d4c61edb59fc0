//! The body behind an answer's head: where it ends, and its data as they come.
//!
//! Owns the framing (length, chunks, until close) and keeps nothing; `answer` keeps bodies for checks, an event stream reads
//! its events from one that may never end.

use super::chunks::Chunks;
use crate::kind::ErrorKind;

/// How the end of a body is known, and what of it is still to come.
#[derive(Debug)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunks(Box<Chunks>),
    /// Until the connection is closed.
    UntilClose,
}

impl Body {
    /// Reads from `bytes`, up to the end of the body, giving its data to `data`; says how many were read.
    ///
    /// # Errors
    /// [`ErrorKind::BadChunk`], [`ErrorKind::TooLarge`], or what `data` returns; the body must not be fed again.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), ErrorKind>,
    ) -> Result<usize, ErrorKind> {
        match self {
            Self::Length(left) => {
                let n = (*left).min(bytes.len() as u64) as usize;
                *left -= n as u64;
                data(&bytes[..n])?;
                Ok(n)
            }
            Self::Chunks(chunks) => chunks.feed(bytes, data),
            Self::UntilClose => {
                data(bytes)?;
                Ok(bytes.len())
            }
        }
    }

    /// Is it whole?
    #[must_use]
    pub fn done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.done(),
            Self::UntilClose => false,
        }
    }

    /// Is it whole if the connection is closed now?
    #[must_use]
    pub fn may_close(&self) -> bool {
        matches!(self, Self::UntilClose) || self.done()
    }
}
