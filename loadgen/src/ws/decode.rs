//! Reading a server's frames in any portions: however the bytes are split, the messages are the same.
//!
//! Owns reassembly of fragments, control frames between them, limits and UTF-8. A frame that lies whole in one
//! portion is handed on where it lies; only what is incomplete is copied, so that an idle decoder owns a null pointer.

use super::{CONTROL_MAX, MESSAGE_MAX, opcode};
use crate::kind::ErrorKind;

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
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Default)]
struct Partial {
    /// Bytes of a frame whose rest has not come.
    frame: Vec<u8>,
    /// Payloads of the fragments so far, and the opcode of the first; `CONTINUATION` while there are none.
    message: Vec<u8>,
    first: u8,
}

impl Partial {
    fn idle(&self) -> bool {
        self.frame.is_empty() && self.first == opcode::CONTINUATION
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Head {
    fin: bool,
    opcode: u8,
    head: usize,
    payload: usize,
}

impl Decoder {
    /// Reads all of `bytes`, giving whole messages to `take`. The first error ends the connection.
    ///
    /// # Errors
    /// [`ErrorKind::WsProtocol`], [`ErrorKind::WsUtf8`], [`ErrorKind::TooLarge`], or what `take` returns.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<(), ErrorKind> {
        while !bytes.is_empty() {
            if self.partial.as_ref().is_none_or(|p| p.frame.is_empty()) {
                let Some(head) = head_of(bytes, self.first())? else {
                    self.partial().frame.extend_from_slice(bytes);
                    break;
                };
                let Some(whole) = bytes.get(..head.head + head.payload) else {
                    self.start_partial(bytes, head);
                    break;
                };
                self.frame(head, &whole[head.head..], &mut take)?;
                bytes = &bytes[whole.len()..];
            } else {
                bytes = self.complete(bytes, &mut take)?;
            }
        }
        if self.partial.as_ref().is_some_and(|p| p.idle()) {
            self.partial = None;
        }
        Ok(())
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    fn first(&self) -> u8 {
        self.partial.as_ref().map_or(opcode::CONTINUATION, |p| p.first)
    }

    fn start_partial(&mut self, bytes: &[u8], head: Head) {
        let frame = &mut self.partial().frame;
        frame.reserve_exact(head.head + head.payload);
        frame.extend_from_slice(bytes);
    }

    /// Adds to the frame begun earlier what it lacks; gives back the rest.
    fn complete<'b>(
        &mut self,
        bytes: &'b [u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<&'b [u8], ErrorKind> {
        let first = self.first();
        let frame = &mut self.partial().frame;
        let Some(head) = head_of(frame, first)? else {
            // Byte by byte: at most 9 times.
            frame.push(bytes[0]);
            let head = head_of(frame, first)?;
            if head.is_some_and(|h| h.payload == 0) {
                return self.completed(head.expect("just seen"), &bytes[1..], take);
            }
            return Ok(&bytes[1..]);
        };
        let lacking = head.head + head.payload - frame.len();
        let n = lacking.min(bytes.len());
        frame.extend_from_slice(&bytes[..n]);
        if n < lacking {
            return Ok(&[]);
        }
        self.completed(head, &bytes[n..], take)
    }

    fn completed<'b>(
        &mut self,
        head: Head,
        rest: &'b [u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<&'b [u8], ErrorKind> {
        let whole = std::mem::take(&mut self.partial().frame);
        self.frame(head, &whole[head.head..], take)?;
        Ok(rest)
    }

    /// A whole frame.
    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), ErrorKind>,
    ) -> Result<(), ErrorKind> {
        match head.opcode {
            opcode::PING => take(Message::Ping(payload)),
            opcode::PONG => take(Message::Pong(payload)),
            opcode::CLOSE => take(Message::Close(close_code(payload)?)),
            first if head.fin && first != opcode::CONTINUATION => deliver(first, payload, take),
            code => {
                let partial = self.partial();
                if partial.message.len() + payload.len() > MESSAGE_MAX {
                    return Err(ErrorKind::TooLarge);
                }
                partial.message.extend_from_slice(payload);
                if code != opcode::CONTINUATION {
                    partial.first = code;
                }
                if head.fin {
                    let first = std::mem::take(&mut partial.first);
                    let message = std::mem::take(&mut partial.message);
                    return deliver(first, &message, take);
                }
                Ok(())
            }
        }
    }
}

fn deliver(
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

/// The head of the frame at the start of `bytes`, if it is all there; `first` is the opcode of the
/// fragmented message that is under way. Each rule is checked as soon as its byte is there.
fn head_of(bytes: &[u8], first: u8) -> Result<Option<Head>, ErrorKind> {
    const BAD: ErrorKind = ErrorKind::WsProtocol;
    let Some(&b0) = bytes.first() else { return Ok(None) };
    let (fin, opcode) = (b0 & 0x80 != 0, b0 & 0x0F);
    let control = opcode >= 8;
    let known = matches!(opcode, 0..=2 | 8..=10);
    let in_order = control || (opcode == opcode::CONTINUATION) == (first != opcode::CONTINUATION);
    if b0 & 0x70 != 0 || !known || !in_order || (control && !fin) {
        return Err(BAD);
    }
    let Some(&b1) = bytes.get(1) else { return Ok(None) };
    let short = usize::from(b1 & 0x7F);
    // A server must not mask.
    if b1 & 0x80 != 0 || (control && short > CONTROL_MAX) {
        return Err(BAD);
    }
    let wide = match short {
        126 => 2,
        127 => 8,
        n => return Ok(Some(Head { fin, opcode, head: 2, payload: n })),
    };
    let Some(digits) = bytes.get(2..2 + wide) else { return Ok(None) };
    let length = digits.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
    if length >> 63 != 0 || length < if wide == 2 { 126 } else { 0x1_0000 } {
        return Err(BAD);
    }
    if length > MESSAGE_MAX as u64 {
        return Err(ErrorKind::TooLarge);
    }
    Ok(Some(Head { fin, opcode, head: 2 + wide, payload: length as usize }))
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
