//! Reading a server's frames in any portions: however the bytes are split, the messages are the same.
//!
//! Owns reassembly of fragments, control frames between them, limits and UTF-8. A frame that lies whole in one
//! portion is handed on where it lies; only what is incomplete is copied, so that an idle decoder owns a null pointer.

use super::deflate::Inflater;
use super::{CONTROL_MAX, MESSAGE_MAX, opcode};
use crate::kind::ErrorKind;
use crate::room::Share;

/// Longest head of a server's frame, bytes.
const HEAD_MAX: usize = 10;

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping with its payload, to be echoed.
    Ping(&'a [u8]),
    /// A pong with its payload.
    Pong(&'a [u8]),
    /// The server closes; the code, if it gave one.
    Close(Option<u16>),
}

/// Reads frames.
#[derive(Debug)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    /// Present where permessage-deflate was agreed to.
    inflater: Option<Box<Inflater>>,
    /// Longest message that is accepted, bytes.
    limit: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MESSAGE_MAX as u32, None)
    }
}

/// What is under way while a frame or a message is not whole.
#[derive(Debug, Default)]
struct Partial {
    /// Bytes of a head, or of a control frame, whose rest has not come.
    start: Vec<u8>,
    /// The data frame whose payload is under way, and how many bytes of it are missing.
    frame: Option<(Head, usize)>,
    /// Payloads of the message so far, and the opcode of its first frame; `CONTINUATION` while there are none.
    message: Vec<u8>,
    /// What of the worker's room `message` takes.
    share: Share,
    first: u8,
    compressed: bool,
    /// How much of `message` is known to be UTF-8; what lies behind is the start of a character.
    checked: usize,
}

impl Partial {
    fn idle(&self) -> bool {
        self.start.is_empty() && self.frame.is_none() && self.first == opcode::CONTINUATION
    }

    /// Adds a part of a payload. Text that cannot become UTF-8 any more is refused at once (RFC 6455, 8.1).
    fn add(&mut self, bytes: &[u8]) -> Result<(), ErrorKind> {
        self.share.is(self.message.len() + bytes.len())?;
        self.message.extend_from_slice(bytes);
        if self.first != opcode::TEXT || self.compressed {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.message[self.checked..]) {
            Ok(_) => self.checked = self.message.len(),
            Err(e) if e.error_len().is_none() => self.checked += e.valid_up_to(),
            Err(_) => return Err(ErrorKind::WsUtf8),
        }
        Ok(())
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Head {
    fin: bool,
    compressed: bool,
    opcode: u8,
    head: usize,
    payload: usize,
}

impl Head {
    fn control(self) -> bool {
        self.opcode >= opcode::CLOSE
    }

    /// A whole message in one frame?
    fn alone(self) -> bool {
        self.fin && self.opcode != opcode::CONTINUATION
    }
}

/// What a frame may be at this place.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// The opcode of the fragmented message that is under way.
    first: u8,
    /// Is that compressed?
    compressed: bool,
    /// Its length so far, bytes.
    so_far: usize,
    limit: usize,
    deflate: bool,
}

impl Decoder {
    /// A decoder that accepts messages of up to `limit` bytes, compressed ones if there is an inflater.
    #[must_use]
    pub fn new(limit: u32, inflater: Option<Box<Inflater>>) -> Self {
        Self { partial: None, inflater, limit }
    }

    /// Reads all of `bytes`, giving whole messages to `take`. The first error ends the connection.
    ///
    /// # Errors
    /// [`ErrorKind::WsProtocol`], [`ErrorKind::WsUtf8`], [`ErrorKind::TooLarge`], or what `take` returns.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        take: impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<(), ErrorKind> {
        self.feed_until(bytes, take, || false).map(|_| ())
    }

    /// Reads `bytes` up to the end of the frame after which `stop` says so; gives back how many bytes that was.
    ///
    /// # Errors
    /// As [`Decoder::feed`].
    pub fn feed_until(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
        stop: impl Fn() -> bool,
    ) -> Result<usize, ErrorKind> {
        let all = bytes.len();
        let mut bytes = bytes;
        while !bytes.is_empty() && !stop() {
            bytes = match self.partial.as_deref() {
                Some(Partial { frame: Some(_), .. }) => self.payload(bytes, &mut take)?,
                Some(partial) if !partial.start.is_empty() => self.start(bytes, &mut take)?,
                _ => self.frame(bytes, &mut take)?,
            };
        }
        if self.partial.as_ref().is_some_and(|p| p.idle()) {
            self.partial = None;
        }
        Ok(all - bytes.len())
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    fn rules(&self) -> Rules {
        let partial = self.partial.as_deref();
        Rules {
            first: partial.map_or(opcode::CONTINUATION, |p| p.first),
            compressed: partial.is_some_and(|p| p.compressed),
            so_far: partial.map_or(0, |p| p.message.len()),
            limit: self.limit as usize,
            deflate: self.inflater.is_some(),
        }
    }

    /// A frame that begins where `bytes` do; gives back the rest.
    fn frame<'b>(
        &mut self,
        bytes: &'b [u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<&'b [u8], ErrorKind> {
        let Some(head) = head_of(bytes, self.rules())? else {
            self.partial().start.extend_from_slice(bytes);
            return Ok(&[]);
        };
        if let Some(whole) = bytes.get(..head.head + head.payload) {
            let (payload, rest) = (&whole[head.head..], &bytes[whole.len()..]);
            if head.control() {
                control(head, payload, take)?;
                return Ok(rest);
            }
            if head.alone() {
                self.deliver(head.opcode, head.compressed, payload, take)?;
                return Ok(rest);
            }
        } else if head.control() {
            self.partial().start.extend_from_slice(bytes);
            return Ok(&[]);
        }
        self.data(head);
        self.payload(&bytes[head.head..], take)
    }

    /// Adds to the head or control frame begun earlier what it lacks; gives back the rest.
    fn start<'b>(
        &mut self,
        mut bytes: &'b [u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<&'b [u8], ErrorKind> {
        let rules = self.rules();
        let start = &mut self.partial().start;
        // Byte by byte: at most nine times.
        let head = loop {
            if let Some(head) = head_of(start, rules)? {
                break head;
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(bytes) };
            debug_assert!(start.len() < HEAD_MAX);
            start.push(byte);
            bytes = rest;
        };
        if !head.control() {
            start.clear();
            self.data(head);
            return self.payload(bytes, take);
        }
        let n = (head.head + head.payload - start.len()).min(bytes.len());
        start.extend_from_slice(&bytes[..n]);
        if start.len() == head.head + head.payload {
            let whole = std::mem::take(start);
            control(head, &whole[head.head..], take)?;
        }
        Ok(&bytes[n..])
    }

    /// A data frame begins that is not whole, or is a fragment.
    fn data(&mut self, head: Head) {
        let partial = self.partial();
        partial.frame = Some((head, head.payload));
        if head.opcode != opcode::CONTINUATION {
            (partial.first, partial.compressed, partial.checked) = (head.opcode, head.compressed, 0);
        }
    }

    /// Adds to the payload of the data frame begun earlier; gives back the rest.
    fn payload<'b>(
        &mut self,
        bytes: &'b [u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<&'b [u8], ErrorKind> {
        let partial = self.partial();
        let Some((head, missing)) = partial.frame else { return Ok(bytes) };
        let n = missing.min(bytes.len());
        partial.add(&bytes[..n])?;
        partial.frame = Some((head, missing - n)).filter(|(_, missing)| *missing > 0);
        if partial.frame.is_none() && head.fin {
            let first = std::mem::take(&mut partial.first);
            let message = std::mem::take(&mut partial.message);
            partial.share.is(0)?;
            let compressed = partial.compressed;
            self.deliver(first, compressed, &message, take)?;
        }
        Ok(&bytes[n..])
    }

    /// A whole message.
    fn deliver(
        &mut self,
        first: u8,
        compressed: bool,
        payload: &[u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<(), ErrorKind> {
        match &mut self.inflater {
            Some(inflater) if compressed => {
                let inflated = inflater.inflate(payload, self.limit as usize)?;
                data(first, &inflated, take)
            }
            _ => data(first, payload, take),
        }
    }
}

fn control(
    head: Head,
    payload: &[u8],
    take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
) -> Result<(), ErrorKind> {
    match head.opcode {
        opcode::PING => take(Message::Ping(payload)),
        opcode::PONG => take(Message::Pong(payload)),
        _ => take(Message::Close(close_code(payload)?)),
    }
}

fn data(
    first: u8,
    payload: &[u8],
    take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
) -> Result<(), ErrorKind> {
    if first == opcode::TEXT {
        let text = simdutf8::basic::from_utf8(payload).map_err(|_| ErrorKind::WsUtf8)?;
        take(Message::Text(text))
    } else {
        take(Message::Binary(payload))
    }
}

/// The head of the frame at the start of `bytes`, if it is all there. Each rule is checked as soon as its byte is there.
fn head_of(bytes: &[u8], rules: Rules) -> Result<Option<Head>, ErrorKind> {
    const BAD: ErrorKind = ErrorKind::WsProtocol;
    let Some(&b0) = bytes.first() else { return Ok(None) };
    let (fin, compressed, opcode) = (b0 & 0x80 != 0, b0 & 0x40 != 0, b0 & 0x0F);
    let control = opcode >= opcode::CLOSE;
    let known = matches!(opcode, 0..=2 | 8..=10);
    let in_order = control || (opcode == opcode::CONTINUATION) == (rules.first != opcode::CONTINUATION);
    // RFC 7692, 6.1: the first frame of a message says whether it is compressed, and no other.
    let may_compress = rules.deflate && !control && opcode != opcode::CONTINUATION;
    if b0 & 0x30 != 0 || (compressed && !may_compress) || !known || !in_order || (control && !fin) {
        return Err(BAD);
    }
    let Some(&b1) = bytes.get(1) else { return Ok(None) };
    let short = usize::from(b1 & 0x7F);
    // A server must not mask.
    if b1 & 0x80 != 0 || (control && short > CONTROL_MAX) {
        return Err(BAD);
    }
    let (head, length) = match short {
        0..=125 => (2, short as u64),
        long => {
            let wide = if long == 126 { 2 } else { 8 };
            let Some(digits) = bytes.get(2..2 + wide) else { return Ok(None) };
            let length = digits.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
            if length >> 63 != 0 || length < if wide == 2 { 126 } else { 0x1_0000 } {
                return Err(BAD);
            }
            (2 + wide, length)
        }
    };
    let limit = if compressed || (opcode == opcode::CONTINUATION && rules.compressed) {
        most_compressed(rules.limit)
    } else {
        rules.limit
    };
    if !control && length > limit.saturating_sub(rules.so_far) as u64 {
        return Err(ErrorKind::TooLarge);
    }
    Ok(Some(Head { fin, compressed, opcode, head, payload: length as usize }))
}

/// Longest compressed form of a message of up to `limit` bytes. What cannot be compressed becomes longer: to a
/// compressor in a hurry, which knows one code alone, a byte may be nine bits. The inflater looks after the
/// length of the message itself.
const fn most_compressed(limit: usize) -> usize {
    limit + limit / 8 + 64
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, ErrorKind> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(ErrorKind::WsProtocol),
        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
    };
    // RFC 6455, 7.4: the others are reserved, or must not be sent.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(ErrorKind::WsProtocol);
    }
    simdutf8::basic::from_utf8(reason).map_err(|_| ErrorKind::WsUtf8)?;
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::encode;
    use proptest::prelude::*;

    fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Option<ErrorKind>) {
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        for pair in cuts.windows(2) {
            let fed = decoder.feed(&bytes[pair[0]..pair[1]], |m| {
                seen.push(format!("{m:?}"));
                Ok(())
            });
            if let Err(kind) = fed {
                return (seen, Some(kind));
            }
        }
        (seen, None)
    }

    /// A server's frame.
    fn frame(b0: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![b0];
        match payload.len() {
            n @ 0..=125 => out.push(n as u8),
            n @ 126..=0xFFFF => out.extend([&[126][..], &(n as u16).to_be_bytes()].concat()),
            n => out.extend([&[127][..], &(n as u64).to_be_bytes()].concat()),
        }
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn fragments_and_pings_between_them() {
        let bytes = [
            frame(1, "hä".as_bytes()),
            frame(0x89, b"p"),
            frame(0, b"l"),
            frame(0x80, b"lo"),
            frame(0x88, &[3, 232]),
        ]
        .concat();
        assert_eq!(read(&bytes, &[]).0, ["Ping([112])", "Text(\"hällo\")", "Close(Some(1000))"]);
    }

    #[test]
    fn each_broken_rule_has_its_kind() {
        let cases: [(&str, Vec<u8>, ErrorKind); 12] = [
            ("masked", vec![0x81, 0x81, 0, 0, 0, 0, 65], ErrorKind::WsProtocol),
            ("reserved bit", frame(0xC1, b"x"), ErrorKind::WsProtocol),
            ("reserved opcode", frame(0x83, b"x"), ErrorKind::WsProtocol),
            ("fragmented ping", frame(0x09, b"x"), ErrorKind::WsProtocol),
            ("long ping", frame(0x89, &[0; 126]), ErrorKind::WsProtocol),
            ("continuation of nothing", frame(0x80, b"x"), ErrorKind::WsProtocol),
            ("text inside text", [frame(1, b"a"), frame(0x81, b"b")].concat(), ErrorKind::WsProtocol),
            ("long form of a short length", vec![0x82, 126, 0, 5], ErrorKind::WsProtocol),
            ("giant", vec![0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0], ErrorKind::TooLarge),
            (
                "giant in pieces",
                [frame(2, &[0; MESSAGE_MAX]), frame(0x80, b"x")].concat(),
                ErrorKind::TooLarge,
            ),
            ("not UTF-8", frame(0x81, &[0xFF]), ErrorKind::WsUtf8),
            ("close code 1005", frame(0x88, &[3, 237]), ErrorKind::WsProtocol),
        ];
        for (name, bytes, kind) in cases {
            assert_eq!(read(&bytes, &[]).1, Some(kind), "{name}");
        }
    }

    #[test]
    fn text_that_cannot_become_utf8_is_refused_before_the_message_is_whole() {
        let begun = frame(1, "\u{20AC}".as_bytes());
        // The first bytes of a long frame: a character cut in two is right, a wrong one is not.
        let long = [0x80, 126, 1, 0];
        for (tail, kind) in [(&[0xE2, 0x82][..], None), (&[0xE2, 0x28], Some(ErrorKind::WsUtf8))] {
            let bytes = [&begun[..], &long, tail].concat();
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes, &[cut]).1, kind, "cut at {cut}");
            }
        }
        // A character that the last fragment leaves open.
        assert_eq!(
            read(&[frame(1, &[0xE2]), frame(0x80, &[0x82])].concat(), &[3]).1,
            Some(ErrorKind::WsUtf8)
        );
    }

    #[test]
    fn endless_fragments_and_giant_heads_take_no_memory() {
        let mut decoder = Decoder::new(1000, None);
        let fed = (0..).find_map(|i| decoder.feed(&frame(u8::from(i == 0), &[b'x'; 100]), |_| Ok(())).err());
        assert_eq!(fed, Some(ErrorKind::TooLarge));
        let kinds = [(0x7F, ErrorKind::TooLarge), (0x80, ErrorKind::WsProtocol)];
        for (first, kind) in kinds {
            let head = [0x82, 127, first, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
            assert_eq!(read(&head, &[4]).1, Some(kind));
        }
        // Empty fragments for ever cost nothing: only time, which the step's limit bounds.
        let mut decoder = Decoder::default();
        decoder.feed(&frame(1, b""), |_| Ok(())).unwrap();
        for _ in 0..10_000 {
            decoder.feed(&frame(0, b""), |_| Ok(())).unwrap();
        }
        assert_eq!(decoder.partial.as_ref().unwrap().message.capacity(), 0);
    }

    #[test]
    fn compressed_messages_are_read_where_that_was_agreed_to() {
        use crate::ws::deflate::{Agreed, Deflater, Inflater};
        let terms = Agreed {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            client_max_window_bits: 15,
        };
        let small = Deflater::new(&terms).deflate("h\u{E4}llo ".repeat(100).as_bytes()).unwrap();
        let (a, b) = small.split_at(small.len() / 2);
        let bytes = [frame(0x41, a), frame(0x89, b"p"), frame(0x80, b), frame(0x81, b"plain")].concat();
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::new(1 << 20, Some(Box::new(Inflater::new(&terms))));
            let mut lengths = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                let fed = decoder.feed(part, |m| {
                    if let Message::Text(text) = m {
                        lengths.push(text.len());
                    }
                    Ok(())
                });
                fed.unwrap();
            }
            assert_eq!(lengths, [700, 5], "cut at {cut}");
        }
        // RSV1 on a continuation, on a control frame, and without the agreement.
        let with = || Decoder::new(1 << 20, Some(Box::new(Inflater::new(&terms))));
        assert!(with().feed(&[frame(0x41, a), frame(0xC0, b)].concat(), |_| Ok(())).is_err());
        assert!(with().feed(&frame(0xC9, b"p"), |_| Ok(())).is_err());
        assert!(Decoder::default().feed(&frame(0xC1, &small), |_| Ok(())).is_err());
    }

    #[test]
    fn a_message_within_the_limit_may_be_longer_in_its_compressed_form() {
        use crate::ws::deflate::{Agreed, Inflater};
        let terms = Agreed {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            client_max_window_bits: 15,
        };
        let decode = |frames: &[Vec<u8>]| {
            let mut decoder = Decoder::new(1000, Some(Box::new(Inflater::new(&terms))));
            let mut lengths = Vec::new();
            let fed = decoder.feed(&frames.concat(), |m| {
                if let Message::Text(text) = m {
                    lengths.push(text.len());
                }
                Ok(())
            });
            fed.map(|()| lengths)
        };
        // A block that is stored as it is, and the empty one whose end a message leaves out.
        let stored = |length: u16| {
            let head = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
            [head, vec![b'x'; usize::from(length)], vec![0]].concat()
        };
        let most = stored(1000);
        let parts = [frame(0x41, &most[..999]), frame(0x80, &most[999..])];
        assert_eq!(decode(&[frame(0xC1, &most)]), Ok(vec![1000]));
        assert_eq!(decode(&parts), Ok(vec![1000]));
        // The limit is that of the message all the same, and of what is not compressed.
        assert_eq!(decode(&[frame(0xC1, &stored(1001))]), Err(ErrorKind::TooLarge));
        assert_eq!(decode(&[frame(0xC1, &[0; 1200])]), Err(ErrorKind::TooLarge));
        let plain = [b'x'; 1001];
        let (a, b) = plain.split_at(999);
        for frames in [vec![frame(0x81, &plain)], vec![frame(0x01, a), frame(0x80, b)]] {
            assert_eq!(decode(&frames), Err(ErrorKind::TooLarge));
            // Nor does a compressed one in front change that.
            assert_eq!(decode(&[&parts[..], &frames].concat()), Err(ErrorKind::TooLarge));
        }
    }

    #[test]
    fn an_idle_decoder_owns_nothing() {
        let mut decoder = Decoder::default();
        let bytes = [frame(1, b"a"), frame(0x80, b"b")].concat();
        decoder.feed(&bytes[..1], |_| Ok(())).unwrap();
        assert!(decoder.partial.is_some());
        decoder.feed(&bytes[1..], |_| Ok(())).unwrap();
        assert!(decoder.partial.is_none());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            frames in prop::collection::vec((prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88, 0x83]), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(b0, p)| frame(*b0, p)).collect();
            prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[]));
        }

        #[test]
        fn a_damaged_stream_is_survived_and_splits_do_not_matter(
            frames in prop::collection::vec((prop::sample::select(vec![0x81u8, 0x82, 0x89, 0x8A]), prop::collection::vec(any::<u8>(), 0..300)), 1..6),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cuts in prop::collection::vec(any::<usize>(), 0..9),
        ) {
            let mut bytes: Vec<u8> = frames.iter().flat_map(|(b0, p)| frame(*b0, p)).collect();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[]));
        }

        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>(), mask: [u8; 4], cuts in prop::collection::vec(any::<usize>(), 0..9)) {
            let mut out = Vec::new();
            encode::frame(&mut out, opcode::TEXT, text.as_bytes(), mask);
            // As a server's: unmasked.
            let at = out.len() - text.len();
            encode::apply(&mut out[at..], mask);
            out.drain(at - 4..at);
            out[1] &= 0x7F;
            prop_assert_eq!(read(&out, &cuts), (vec![format!("{:?}", Message::Text(&text))], None));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100), cuts in prop::collection::vec(any::<usize>(), 0..9)) {
            prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[]));
        }

        #[test]
        fn masking_twice_is_nothing(payload in prop::collection::vec(any::<u8>(), 0..300), mask: [u8; 4]) {
            let mut out = Vec::new();
            encode::frame(&mut out, opcode::BINARY, &payload, mask);
            let n = out.len() - payload.len();
            prop_assert_eq!(out[1] & 0x80, 0x80);
            encode::apply(&mut out[n..], mask);
            prop_assert_eq!(&out[n..], &payload[..]);
        }
    }
}
