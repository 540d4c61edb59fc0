//! The parser of an event stream (HTML, 9.2.5 and 9.2.6), fed in any portions: however the bytes are split, the events are
//! the same.
//!
//! Owns line ends, fields, the limit on an event, and what a client keeps for its next request: the last id and the
//! server's `retry`. Between events it holds no buffer.

use crate::kind::ErrorKind;
use crate::room::Share;

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// Longest id that is kept, bytes: it is to go back in a head, and few servers take one of more than 8 KiB.
const ID_MAX: usize = 4 << 10;
/// The type of an event that names none.
const MESSAGE: &str = "message";

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its type, `message` where it names none.
    pub kind: &'a str,
    /// Its data, lines separated by line feeds; never empty.
    pub data: &'a str,
}

/// Reads one stream. What is not dispatched when it ends is dropped with it, as the standard says.
#[derive(Debug)]
pub struct Decoder {
    /// Most bytes that an event's lines may have.
    max: usize,
    /// A line whose end has not come.
    line: Vec<u8>,
    kind: Vec<u8>,
    /// Lines of data, each with a line feed behind it.
    data: Vec<u8>,
    /// An id that the next empty line makes the last one.
    id: Option<Box<[u8]>>,
    last_id: Option<Box<[u8]>>,
    retry_ms: Option<u64>,
    /// Was a whole line read? Before that, a byte order mark may come.
    begun: bool,
    /// Was the last byte a carriage return? Then a line feed belongs to it.
    after_cr: bool,
    /// What of the worker's room an event that is not whole takes, and the last id.
    share: Share,
}

impl Decoder {
    /// A stream from its beginning, whose events may have `max` bytes of lines.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self {
            max: max as usize,
            line: Vec::new(),
            kind: Vec::new(),
            data: Vec::new(),
            id: None,
            last_id: None,
            retry_ms: None,
            begun: false,
            after_cr: false,
            share: Share::default(),
        }
    }

    /// The last id that this stream has set; none if it has set none, an empty one if it has taken it back.
    #[must_use]
    pub fn last_id(&self) -> Option<&[u8]> {
        self.last_id.as_deref()
    }

    /// How long a client is to wait before it connects again, ms, if the stream has said so.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Reads from `bytes`, giving each event to `each`, until that says `true`; says how many bytes were read.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] or [`ErrorKind::NoRoom`]; the stream must not be fed again.
    pub fn feed(&mut self, bytes: &[u8], each: impl FnMut(Event<'_>) -> bool) -> Result<usize, ErrorKind> {
        let read = self.read(bytes, each)?;
        self.share.is(self.held() + self.last_id.as_ref().map_or(0, |id| id.len()))?;
        Ok(read)
    }

    fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Event<'_>) -> bool) -> Result<usize, ErrorKind> {
        let mut at = 0;
        while let Some(&first) = bytes.get(at) {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                at += 1;
                continue;
            }
            let rest = &bytes[at..];
            let Some(end) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
                self.fits(rest.len())?;
                self.line.extend_from_slice(rest);
                return Ok(bytes.len());
            };
            self.fits(end)?;
            at += end + 1;
            self.after_cr = rest[end] == b'\r';
            let stop = if self.line.is_empty() {
                self.line(&rest[..end], &mut each)
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&rest[..end]);
                self.line(&line, &mut each)
            };
            if stop {
                return Ok(at);
            }
        }
        Ok(at)
    }

    /// Bytes of the event that is not whole yet.
    fn held(&self) -> usize {
        let id = self.id.as_ref().map_or(0, |id| id.len());
        self.line.len() + self.kind.len() + self.data.len() + id
    }

    /// Is there room for so many bytes more of this line?
    fn fits(&self, more: usize) -> Result<(), ErrorKind> {
        if self.held() + more > self.max { Err(ErrorKind::TooLarge) } else { Ok(()) }
    }

    /// Takes a whole line; says whether `each` wants no more.
    fn line(&mut self, line: &[u8], each: &mut impl FnMut(Event<'_>) -> bool) -> bool {
        let begun = std::mem::replace(&mut self.begun, true);
        let line = line.strip_prefix(BOM).filter(|_| !begun).unwrap_or(line);
        if line.is_empty() {
            return self.dispatch(each);
        }
        let (field, value) = match line.iter().position(|&b| b == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.kind = value.to_vec(),
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" if !value.contains(&0) && value.len() <= ID_MAX => self.id = Some(value.into()),
            b"retry" => self.retry_ms = digits(value).or(self.retry_ms),
            // A comment, whose field is empty, one that nobody knows, or an id that is none or too long.
            _ => {}
        }
        false
    }

    /// An empty line ends an event; one without data is none, but its id counts.
    fn dispatch(&mut self, each: &mut impl FnMut(Event<'_>) -> bool) -> bool {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
        let Some((_, data)) = data.split_last() else { return false };
        // Lines are split at ASCII bytes, which are never part of a longer character: what is decoded by line is what
        // would be decoded as a whole.
        let (kind, data) = (String::from_utf8_lossy(&kind), String::from_utf8_lossy(data));
        each(Event { kind: if kind.is_empty() { MESSAGE } else { &kind }, data: &data })
    }
}

/// A number of digits alone; one that is too large counts as the largest.
fn digits(value: &[u8]) -> Option<u64> {
    let sound = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let add = |n: u64, d: &u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
    sound.then(|| value.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: u32 = 64;

    /// Events, last id, retry, error.
    type Read = (Vec<(String, String)>, Option<Vec<u8>>, Option<u64>, Option<ErrorKind>);

    fn read(bytes: &[u8], cuts: &[usize]) -> Read {
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let (mut decoder, mut seen) = (Decoder::new(MAX), Vec::new());
        for pair in cuts.windows(2) {
            let mut portion = &bytes[pair[0]..pair[1]];
            // Stopping at each event must change nothing either.
            while !portion.is_empty() {
                let fed = decoder.feed(portion, |event| {
                    seen.push((event.kind.to_owned(), event.data.to_owned()));
                    true
                });
                match fed {
                    Ok(n) => portion = &portion[n..],
                    Err(kind) => return (seen, None, None, Some(kind)),
                }
            }
        }
        (seen, decoder.last_id().map(<[u8]>::to_vec), decoder.retry_ms(), None)
    }

    fn events(text: &str) -> Vec<(String, String)> {
        read(text.as_bytes(), &[]).0
    }

    fn told(text: &str) -> String {
        events(text).iter().map(|(kind, data)| format!("{kind}={data:?}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_examples_of_the_standard() {
        let cases = [
            "data: YHOO\ndata: +2\ndata: 10\n\n",
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            "data\n\ndata\ndata\n\ndata:",
            "data:test\n\ndata: test\n\n",
            "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
        ];
        let told: Vec<String> = cases.iter().map(|c| told(c)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        message="YHOO\n+2\n10"
        message="first event" message="second event" message=" third event"
        message="" message="\n"
        message="test" message="test"
        add="73857293" remove="2153"
        "#);
    }

    #[test]
    fn line_ends_marks_and_fields_that_do_not_count() {
        let cases = [
            "\u{FEFF}data: bom\n\n",
            "\u{FEFF}\u{FEFF}data: two\n\ndata: b\n\n",
            "data: a\rdata: b\r\rdata: c\r\n\r\ndata: d\n\r",
            "data: x\nevent: lost",
            "data: cut",
            "event: alone\n\ndata: plain\n\n",
            "event: a\nevent: b\ndata: last wins\n\n",
            "Data: x\n\ndata : x\n\n data: x\n\nfoo: x\n\n",
            ":data: x\n\n::\n\n",
            "event\ndata: no type\n\n",
            "event: é\ndata: \u{0}\n\n",
        ];
        let told: Vec<String> = cases.iter().map(|c| told(c)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        message="bom"
        message="b"
        message="a\nb" message="c" message="d"


        message="plain"
        b="last wins"


        message="no type"
        é="\0"
        "#);
    }

    #[test]
    fn ids_and_retry_are_kept_as_the_standard_says() {
        let last = |text: &str| read(text.as_bytes(), &[]).1.map(|id| String::from_utf8(id).unwrap());
        assert_eq!(last("id: 7\n\n"), Some("7".to_owned()), "an event without data sets it too");
        assert_eq!(last("id: 7\n"), None, "not before the empty line");
        assert_eq!(last("id: 7\n\nid: a\u{0}b\n\n"), Some("7".to_owned()));
        assert_eq!(last("id: 7\n\nid\n\n"), Some(String::new()));
        assert_eq!(last("id: 7\n\ndata: x\n\n"), Some("7".to_owned()));
        let retry = |text: &str| read(text.as_bytes(), &[]).2;
        assert_eq!(retry("retry: 250\n"), Some(250));
        for bad in ["retry: -1\n", "retry: 1s\n", "retry:\n", "retry\n", "retry:  5\n", "retry: +5\n"] {
            assert_eq!(retry(bad), None, "{bad}");
        }
        assert_eq!(retry("retry: 5\nretry: x\n"), Some(5));
        assert_eq!(retry("retry: 99999999999999999999\n"), Some(u64::MAX));
    }

    #[test]
    fn an_id_takes_room_and_one_that_is_too_long_is_passed_over() {
        let mut decoder = Decoder::new(1 << 20);
        let long = format!("id: 7\n\nid: {}\n\n", "x".repeat(ID_MAX + 1));
        decoder.feed(long.as_bytes(), |_| false).unwrap();
        assert_eq!((decoder.last_id(), decoder.held()), (Some(&b"7"[..]), 0));
        decoder.feed(b"id: 12345\n", |_| false).unwrap();
        assert_eq!(decoder.held(), 5);
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        let (seen, ..) = read(b"event: \xC3\xE9\ndata: a\xFF\ndata: \xE2\x82\n\n", &[]);
        assert_eq!(seen, [("\u{FFFD}\u{FFFD}".to_owned(), "a\u{FFFD}\n\u{FFFD}".to_owned())]);
    }

    #[test]
    fn what_is_too_long_is_refused_and_nothing_is_held_between_events() {
        let too_large = Some(ErrorKind::TooLarge);
        assert_eq!(read(&b"x".repeat(100), &[50]).3, too_large);
        assert_eq!(read(&b"data\n".repeat(100), &[]).3, too_large);
        assert_eq!(
            read(b"data: 12345678901234567890123456789012345678901234567890123456789\n\n", &[]).3,
            too_large
        );
        assert_eq!(read(&b": a comment\n".repeat(100), &[]).3, None);
        assert_eq!(read(&b"data: short\n\n".repeat(100), &[]).0.len(), 100);
        let mut decoder = Decoder::new(MAX);
        decoder.feed(b"event: a\ndata: b\nid: 1\n\nda", |_| false).unwrap();
        decoder.feed(b"ta: c\n\n", |_| false).unwrap();
        assert_eq!(decoder.line.capacity() + decoder.kind.capacity() + decoder.data.capacity(), 0);
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop::sample::select(vec![
            &b"data"[..],
            b"data: ",
            b"data:x",
            b"event: e",
            b"id: 1",
            b"id: \0",
            b"id",
            b"retry: 10",
            b"retry: 1x",
            b":",
            b": comment",
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\xEF\xBB\xBF",
            b"\xEF",
            b"\xBB",
            b"\xC3\xA9",
            b"\xC3",
            b"\xFF",
            b" ",
            b"a long enough text",
        ])
        .prop_map(<[u8]>::to_vec)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(pieces in prop::collection::vec(piece(), 0..16), cuts in prop::collection::vec(any::<usize>(), 0..16)) {
            let bytes = pieces.concat();
            prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[]), "{:?}", bytes);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
            prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[]));
        }
    }
}
