//! permessage-deflate (RFC 7692): what is offered, what a server may answer, and the two halves of the work.
//!
//! Owns the extension's parameters and its (de)compressors. Inflating always uses the largest window, so any
//! window of the server's is right; deflating uses the window agreed upon, and where a server demands one that the
//! compressor does not have, messages go out uncompressed, which is always legal.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use scenarios::plan::Deflate;

use crate::kind::ErrorKind;

/// What a flush ends with and a message leaves out (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// Largest window, as a power of two.
const WINDOW_MAX: u8 = 15;
/// Smallest window that the compressor has for streams without a header.
const WINDOW_MIN: u8 = 9;
/// How much a buffer of (de)compressed bytes grows at a time.
const STEP: usize = 4 << 10;
/// The extension's name.
const NAME: &str = "permessage-deflate";

/// What both sides agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The server starts each message with an empty window.
    pub server_no_context_takeover: bool,
    /// So do we.
    pub client_no_context_takeover: bool,
    /// Our window, as a power of two.
    pub client_max_window_bits: u8,
}

/// The value of `Sec-WebSocket-Extensions` that offers this.
#[must_use]
pub fn offer(wanted: &Deflate) -> String {
    let mut out = NAME.to_owned();
    if wanted.server_no_context_takeover {
        out += "; server_no_context_takeover";
    }
    if wanted.client_no_context_takeover {
        out += "; client_no_context_takeover";
    }
    if let Some(bits) = wanted.server_max_window_bits {
        out += &format!("; server_max_window_bits={bits}");
    }
    out += "; client_max_window_bits";
    if let Some(bits) = wanted.client_max_window_bits {
        out += &format!("={bits}");
    }
    out
}

/// Reads the server's answer to [`offer`]; none if it does not want to compress.
///
/// # Errors
/// [`ErrorKind::WsHandshake`] for anything that was not offered or that RFC 7692 does not allow.
pub fn agree(wanted: Option<&Deflate>, answer: Option<&str>) -> Result<Option<Agreed>, ErrorKind> {
    const BAD: ErrorKind = ErrorKind::WsHandshake;
    let Some(answer) = answer.map(str::trim).filter(|a| !a.is_empty()) else { return Ok(None) };
    let wanted = wanted.ok_or(BAD)?;
    let mut words = answer.split(';').map(str::trim);
    if words.next() != Some(NAME) {
        return Err(BAD);
    }
    let mut agreed = Agreed {
        server_no_context_takeover: false,
        client_no_context_takeover: wanted.client_no_context_takeover,
        client_max_window_bits: wanted.client_max_window_bits.unwrap_or(WINDOW_MAX),
    };
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (word, None),
        };
        if seen.contains(&name) {
            return Err(BAD);
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover", None) => agreed.server_no_context_takeover = true,
            ("client_no_context_takeover", None) => agreed.client_no_context_takeover = true,
            ("server_max_window_bits", Some(bits)) => {
                if window(bits).ok_or(BAD)? > wanted.server_max_window_bits.unwrap_or(WINDOW_MAX) {
                    return Err(BAD);
                }
            }
            ("client_max_window_bits", Some(bits)) => {
                let bits = window(bits).ok_or(BAD)?;
                agreed.client_max_window_bits = agreed.client_max_window_bits.min(bits);
            }
            _ => return Err(BAD),
        }
    }
    Ok(Some(agreed))
}

/// 8 to 15 without leading zeros, in quotes or not.
fn window(text: &str) -> Option<u8> {
    let text = text.strip_prefix('"').map_or(Some(text), |t| t.strip_suffix('"'))?;
    let good = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| good && (8..=WINDOW_MAX).contains(n))
}

/// Inflates what a server sends.
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    fresh_each: bool,
}

impl Inflater {
    /// For these terms.
    #[must_use]
    pub fn new(agreed: &Agreed) -> Self {
        Self { state: Decompress::new(false), fresh_each: agreed.server_no_context_takeover }
    }

    /// A message's payload, inflated.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] as soon as it is longer than `limit`; [`ErrorKind::WsProtocol`] if it is not deflated data.
    pub fn inflate(&mut self, payload: &[u8], limit: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut out = Vec::new();
        for part in [payload, &TAIL] {
            self.part(part, limit, &mut out)?;
        }
        if self.fresh_each {
            self.state.reset(false);
        }
        Ok(out)
    }

    fn part(&mut self, mut bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), ErrorKind> {
        loop {
            // A byte more than the limit tells what is too long; doubling keeps a bomb's work in proportion.
            let room = (limit + 1).saturating_sub(out.len()).min(out.len().max(STEP));
            out.reserve(room);
            let (before_in, before_out) = (self.state.total_in(), out.len());
            let status = self
                .state
                .decompress_vec(bytes, out, FlushDecompress::Sync)
                .map_err(|_| ErrorKind::WsProtocol)?;
            if out.len() > limit {
                return Err(ErrorKind::TooLarge);
            }
            let taken = (self.state.total_in() - before_in) as usize;
            bytes = &bytes[taken..];
            if status == Status::StreamEnd {
                // A final block is legal (RFC 7692, 7.2.3.4); what follows is a stream of its own.
                self.state.reset(false);
                if bytes.is_empty() {
                    return Ok(());
                }
            } else if bytes.is_empty() && out.len() < out.capacity() {
                return Ok(());
            } else if taken == 0 && out.len() == before_out {
                return Err(ErrorKind::WsProtocol);
            }
        }
    }
}

/// Deflates what we send.
pub struct Deflater {
    state: Option<Compress>,
    bits: u8,
    fresh_each: bool,
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").field("bits", &self.bits).finish_non_exhaustive()
    }
}

impl Deflater {
    /// For these terms.
    #[must_use]
    pub fn new(agreed: &Agreed) -> Self {
        Self {
            state: None,
            bits: agreed.client_max_window_bits,
            fresh_each: agreed.client_no_context_takeover,
        }
    }

    /// A message's payload, deflated; none if the server's terms cannot be met, so that it goes out as it is.
    pub fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.bits < WINDOW_MIN {
            return None;
        }
        let bits = self.bits;
        let state = self
            .state
            .get_or_insert_with(|| Compress::new_with_window_bits(Compression::fast(), false, bits));
        let mut out = Vec::with_capacity(payload.len() / 2 + TAIL.len() + 16);
        let mut rest = payload;
        loop {
            let before = state.total_in();
            state.compress_vec(rest, &mut out, FlushCompress::Sync).ok()?;
            rest = &rest[(state.total_in() - before) as usize..];
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
            out.reserve(STEP.max(out.capacity()));
        }
        if self.fresh_each {
            // The next message begins with an empty window; an idle WebSocket keeps none.
            self.state = None;
        }
        out.ends_with(&TAIL).then(|| out.truncate(out.len() - TAIL.len()))?;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> Deflate {
        Deflate::default()
    }

    #[test]
    fn only_what_was_offered_is_agreed_to() {
        assert_eq!(offer(&all()), "permessage-deflate; client_max_window_bits");
        let narrow = Deflate {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: Some(10),
            client_max_window_bits: Some(9),
        };
        insta::assert_snapshot!(offer(&narrow), @"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9");
        let good = [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=\"12\"",
            "permessage-deflate;client_no_context_takeover;server_max_window_bits=8",
        ];
        for answer in good {
            assert!(agree(Some(&all()), Some(answer)).unwrap().is_some(), "{answer}");
            assert!(agree(None, Some(answer)).is_err(), "{answer}");
        }
        assert_eq!(agree(Some(&all()), None), Ok(None));
        for answer in [
            "permessage-bzip2",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; colour=red",
        ] {
            assert_eq!(agree(Some(&all()), Some(answer)), Err(ErrorKind::WsHandshake), "{answer}");
        }
        let wider = "permessage-deflate; server_max_window_bits=11";
        assert_eq!(agree(Some(&narrow), Some(wider)), Err(ErrorKind::WsHandshake));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let agreed = agree(Some(&all()), Some("permessage-deflate")).unwrap().unwrap();
        let bomb = Deflater::new(&agreed).deflate(&vec![0; 20 << 20]).unwrap();
        assert!(bomb.len() < 1_000_000);
        assert_eq!(Inflater::new(&agreed).inflate(&bomb, 1 << 20), Err(ErrorKind::TooLarge));
        assert_eq!(Inflater::new(&agreed).inflate(&bomb, 20 << 20).map(|v| v.len()), Ok(20 << 20));
    }

    #[test]
    fn a_final_block_ends_nothing() {
        let agreed = agree(Some(&all()), Some("permessage-deflate")).unwrap().unwrap();
        // RFC 7692, 7.2.3.4: "Hello" in a block with BFINAL, and a zero byte behind it.
        let message = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
        let mut inflater = Inflater::new(&agreed);
        for _ in 0..2 {
            assert_eq!(inflater.inflate(&message, 100).unwrap(), b"Hello");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_deflated_comes_back(
            messages in prop::collection::vec(prop::collection::vec(0u8..4, 0..20_000), 1..4),
            bits in 8u8..16, fresh: bool, server_fresh: bool,
        ) {
            let agreed = Agreed { server_no_context_takeover: server_fresh && fresh, client_no_context_takeover: fresh, client_max_window_bits: bits };
            let (mut deflater, mut inflater) = (Deflater::new(&agreed), Inflater::new(&agreed));
            for message in messages {
                match deflater.deflate(&message) {
                    Some(small) => prop_assert_eq!(inflater.inflate(&small, 20_000).unwrap(), message),
                    None => prop_assert_eq!(bits, 8),
                }
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let agreed = Agreed { server_no_context_takeover: false, client_no_context_takeover: false, client_max_window_bits: 15 };
            let mut inflater = Inflater::new(&agreed);
            if let Ok(out) = inflater.inflate(&bytes, 1000) {
                prop_assert!(out.len() <= 1000);
            }
        }
    }
}
