//! Templates, made ready: texts with holes, and how a value is written into each.
//!
//! Owns escaping. A value may come from the target (a saved variable), so what would end a request line or a
//! header field, or break out of a JSON string, never gets there as it is.

use std::cell::RefCell;
use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use scenarios::plan::{DatePart, Escape, Feeder, Part, Template};
use timeline::clock::unix_ms;

use crate::date;
use crate::random::{Stream, Zipf};
use crate::token::{Signer, Tokens};

/// Where a text stands, for holes that carry no escape of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a request line: spaces, control characters, `#` and non-ASCII bytes are percent-encoded. A saved path stays what it is.
    Path,
    /// Behind the `=` of a query: all but unreserved characters (RFC 3986, 2.3) are percent-encoded, so that it stays one value.
    Query,
    /// In a header field: CR, LF and NUL are dropped.
    Field,
    /// In a body or message: as it is.
    Plain,
}

/// What holes are filled from.
pub struct Values<'a> {
    /// Saved variables.
    pub vars: &'a [Option<Box<str>>],
    /// Feeders of the plan.
    pub feeders: &'a [Feeder],
    /// The session's row of each feeder.
    pub rows: &'a [u32],
    /// The session's number.
    pub number: u64,
    /// The session's random numbers.
    pub stream: &'a mut Stream,
    /// The JSON message sent by the same step.
    pub sent: Option<&'a serde_json::Value>,
    /// What makes tokens.
    pub signers: &'a [Signer],
    /// The session's tokens; a plan with signers gives every session some.
    pub tokens: Option<&'a RefCell<Tokens>>,
}

impl<'a> Values<'a> {
    /// A saved variable; an empty text while unset.
    #[must_use]
    pub fn var(&self, slot: usize) -> &'a str {
        self.vars.get(slot).and_then(Option::as_deref).unwrap_or("")
    }

    /// A column of the session's row of a feeder.
    #[must_use]
    pub fn cell(&self, feeder: usize, column: usize) -> &'a str {
        let row = self.rows.get(feeder).copied().unwrap_or(0) as usize;
        self.feeders.get(feeder).and_then(|f| f.rows.get(row)?.get(column)).map_or("", String::as_str)
    }
}

#[cfg(test)]
impl<'a> Values<'a> {
    /// Those of session 7, which has variables and nothing else.
    pub fn of_vars(vars: &'a [Option<Box<str>>], stream: &'a mut Stream) -> Self {
        Self { vars, feeders: &[], rows: &[], number: 7, stream, sent: None, signers: &[], tokens: None }
    }
}

/// A text with holes, ready to be written.
#[derive(Debug, Default)]
pub struct Text {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Fixed(Vec<u8>),
    Hole(Place, Option<Escape>, Hole),
}

#[derive(Debug)]
enum Hole {
    Var(usize),
    Column(usize, usize),
    Uuid,
    Int(i64, i64),
    Zipf(Zipf),
    Float(f64, f64, usize),
    Letters(u32),
    Pick(Vec<String>),
    Date(Vec<DatePart>, i64),
    Base64(Box<Text>),
    Token(usize),
    Session,
    Now,
    Sent(String),
}

impl Text {
    /// Appends a text as it stands.
    pub fn fixed(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        if let Some(Piece::Fixed(last)) = self.pieces.last_mut() {
            last.extend_from_slice(text.as_ref());
        } else {
            self.pieces.push(Piece::Fixed(text.as_ref().to_vec()));
        }
        self
    }

    /// Appends a template that stands at `place`; a path's holes behind the `=` of its query are values of that.
    pub fn template(&mut self, template: &Template, place: Place) -> &mut Self {
        let mut here = place;
        let mut in_query = false;
        for part in &template.0 {
            match part {
                Part::Escaped(escape, inner) => self.part(inner, here, Some(*escape)),
                Part::Text(text) => {
                    self.fixed(text);
                    if place == Place::Path {
                        here = reached(text, here, &mut in_query);
                    }
                }
                other => self.part(other, here, None),
            }
        }
        self
    }

    fn part(&mut self, part: &Part, place: Place, escape: Option<Escape>) {
        let hole = match part {
            Part::Text(text) => {
                self.fixed(text);
                return;
            }
            Part::Secret(secret) => {
                let mut text = Vec::new();
                put(&mut text, place, escape, secret.value.as_bytes());
                self.fixed(text);
                return;
            }
            // Never nested, as the plan says; were it, the inner escape would be the right one.
            Part::Escaped(inner_escape, inner) => return self.part(inner, place, Some(*inner_escape)),
            Part::Var(slot) => Hole::Var(usize::from(slot.0)),
            Part::Column { feeder, column } => Hole::Column(usize::from(*feeder), usize::from(*column)),
            Part::Uuid => Hole::Uuid,
            Part::Int(low, high) => Hole::Int(*low, *high),
            Part::Zipf(n, s) => Hole::Zipf(Zipf::new(*n, *s)),
            Part::Float { low, high, digits } => Hole::Float(*low, *high, usize::from(*digits)),
            Part::Letters(n) => Hole::Letters(*n),
            Part::Pick(texts) => Hole::Pick(texts.clone()),
            Part::Date { parts, shift_ms } => Hole::Date(parts.clone(), *shift_ms),
            Part::Base64(inner) => {
                let mut text = Self::default();
                text.template(inner, Place::Plain);
                if let Some(fixed) = text.as_fixed() {
                    let mut encoded = Vec::new();
                    put(&mut encoded, place, escape, STANDARD.encode(fixed).as_bytes());
                    self.fixed(encoded);
                    return;
                }
                Hole::Base64(Box::new(text))
            }
            Part::Token(signer) => Hole::Token(usize::from(*signer)),
            Part::Session => Hole::Session,
            Part::Now => Hole::Now,
            Part::Sent(field) => Hole::Sent(field.clone()),
        };
        self.pieces.push(Piece::Hole(place, escape, hole));
    }

    /// Does it refer to what the same step sends?
    #[must_use]
    pub fn uses_sent(&self) -> bool {
        self.holes().any(|hole| match hole {
            Hole::Sent(_) => true,
            Hole::Base64(inner) => inner.uses_sent(),
            _ => false,
        })
    }

    /// Does it refer to the field `name` of what the same step sends?
    #[must_use]
    pub fn mentions_sent(&self, name: &str) -> bool {
        self.holes().any(|hole| match hole {
            Hole::Sent(field) => **field == *name,
            Hole::Base64(inner) => inner.mentions_sent(name),
            _ => false,
        })
    }

    /// The feeders whose columns it holds; those that its tokens claim are their signers' business.
    #[must_use]
    pub fn feeders(&self) -> Vec<usize> {
        let mut all = Vec::new();
        for hole in self.holes() {
            match hole {
                Hole::Column(feeder, _) => all.push(*feeder),
                Hole::Base64(inner) => all.extend(inner.feeders()),
                _ => {}
            }
        }
        all
    }

    /// The signers whose tokens it holds.
    pub fn signers(&self) -> impl Iterator<Item = usize> + '_ {
        self.holes().filter_map(|hole| if let Hole::Token(i) = hole { Some(*i) } else { None })
    }

    /// Does it differ each time, whatever the session?
    #[must_use]
    pub fn varies(&self) -> bool {
        self.holes().any(|hole| match hole {
            Hole::Var(_) | Hole::Column(..) | Hole::Session | Hole::Sent(_) | Hole::Token(_) => false,
            Hole::Base64(inner) => inner.varies(),
            _ => true,
        })
    }

    fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|p| if let Piece::Hole(_, _, hole) = p { Some(hole) } else { None })
    }

    /// The text itself, if it has no holes.
    #[must_use]
    pub fn as_fixed(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(&[]),
            [Piece::Fixed(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends it to `out`, its holes filled.
    pub fn write(&self, out: &mut Vec<u8>, values: &mut Values<'_>) {
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(text) => out.extend_from_slice(text),
                Piece::Hole(place, escape, hole) => hole.write(out, *place, *escape, values),
            }
        }
    }
}

impl Hole {
    fn write(&self, out: &mut Vec<u8>, place: Place, escape: Option<Escape>, values: &mut Values<'_>) {
        match self {
            Self::Var(slot) => put(out, place, escape, values.var(*slot).as_bytes()),
            Self::Column(feeder, column) => put(out, place, escape, values.cell(*feeder, *column).as_bytes()),
            Self::Uuid => values.stream.uuid(out),
            Self::Int(low, high) => write_i64(out, values.stream.int(*low, *high)),
            Self::Zipf(zipf) => write_i64(out, i64::from(zipf.draw(values.stream))),
            Self::Float(low, high, digits) => {
                let value = low + values.stream.unit() * (high - low);
                let _ = write!(out, "{value:.digits$}");
            }
            Self::Letters(n) => out.extend((0..*n).map(|_| b'a' + values.stream.below(26) as u8)),
            Self::Pick(texts) => {
                let i = values.stream.below(texts.len() as u64) as usize;
                put(out, place, escape, texts.get(i).map_or(&[], |t| t.as_bytes()));
            }
            Self::Date(parts, shift_ms) => {
                let mut text = Vec::new();
                date::write(parts, (unix_ms() as i64).saturating_add(*shift_ms), &mut text);
                put(out, place, escape, &text);
            }
            Self::Base64(inner) => {
                let mut text = Vec::new();
                inner.write(&mut text, values);
                put(out, place, escape, STANDARD.encode(text).as_bytes());
            }
            Self::Token(i) => {
                if let Some(signer) = values.signers.get(*i) {
                    signer.write(*i, out, values);
                }
            }
            Self::Session => write_i64(out, values.number as i64),
            Self::Now => write_i64(out, unix_ms() as i64),
            Self::Sent(field) => {
                let text = values.sent.and_then(|v| v.get(field)).map(as_text).unwrap_or_default();
                put(out, place, escape, text.as_bytes());
            }
        }
    }
}

/// Where in a path a hole behind `text` stands, if one before it stood at `here`; `in_query` says whether its query has begun.
fn reached(text: &str, here: Place, in_query: &mut bool) -> Place {
    text.bytes().fold(here, |here, b| {
        *in_query |= b == b'?';
        match b {
            b'=' if *in_query => Place::Query,
            b'&' => Place::Path,
            _ => here,
        }
    })
}

/// A JSON value as the text that templates and comparisons use: strings without quotes, the rest as JSON.
#[must_use]
pub fn as_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Appends a whole number in decimal.
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

fn put(out: &mut Vec<u8>, place: Place, escape: Option<Escape>, value: &[u8]) {
    match (escape, place) {
        (Some(Escape::Json), _) => put_json(out, value),
        (Some(Escape::Form), _) => {
            put_percent(out, value, |b| b.is_ascii_alphanumeric() || b"*-._ ".contains(&b), true);
        }
        (None, Place::Path) => put_percent(out, value, |b| (0x21..0x7F).contains(&b) && b != b'#', false),
        (None, Place::Query) => {
            put_percent(out, value, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b), false);
        }
        (None, Place::Field) => out.extend(value.iter().filter(|b| !matches!(b, b'\r' | b'\n' | 0))),
        (None, Place::Plain) => out.extend_from_slice(value),
    }
}

fn put_percent(out: &mut Vec<u8>, value: &[u8], safe: impl Fn(u8) -> bool, plus: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &b in value {
        if plus && b == b' ' {
            out.push(b'+');
        } else if safe(b) {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
        }
    }
}

fn put_json(out: &mut Vec<u8>, value: &[u8]) {
    for &b in value {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
            b => out.push(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use scenarios::plan::Slot;

    fn written(part: Part, place: Place, var: &str) -> String {
        let mut text = Text::default();
        text.template(&Template(vec![Part::Text("<".into()), part, Part::Text(">".into())]), place);
        let mut out = Vec::new();
        let sent = serde_json::json!({"id": 7, "name": "x"});
        let mut stream = Stream::of(1, 2);
        let vars = [Some(var.into())];
        text.write(
            &mut out,
            &mut Values { number: 42, sent: Some(&sent), ..Values::of_vars(&vars, &mut stream) },
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_escaped_for_their_place() {
        let var = Part::Var(Slot(0));
        let escaped = |e| Part::Escaped(e, Box::new(Part::Var(Slot(0))));
        let nasty = "a b\r\nX: \"é\\#/?=&";
        let told = [
            written(var.clone(), Place::Path, nasty),
            written(var.clone(), Place::Field, nasty),
            written(escaped(Escape::Json), Place::Plain, nasty),
            written(escaped(Escape::Form), Place::Plain, nasty),
            written(Part::Sent("id".into()), Place::Plain, ""),
            written(Part::Session, Place::Path, ""),
            written(Part::Int(-5, -5), Place::Path, ""),
        ];
        insta::assert_snapshot!(told.join("\n"), @r#"
        <a%20b%0D%0AX:%20"%C3%A9\%23/?=&>
        <a bX: "é\#/?=&>
        <a b\r\nX: \"é\\#/?=&>
        <a+b%0D%0AX%3A+%22%C3%A9%5C%23%2F%3F%3D%26>
        <7>
        <42>
        <-5>
        "#);
    }

    #[test]
    fn a_value_in_a_query_stays_one() {
        let text = |t: &str| Part::Text(t.into());
        let var = || Part::Var(Slot(0));
        let path = ["/a=", "?q=", "-", "&", "=b?"].into_iter().flat_map(|t| [text(t), var()]).collect();
        let mut all = Text::default();
        all.template(&Template(path), Place::Path);
        let vars = [Some("1+2 &é~/%".into())];
        let (mut out, mut stream) = (Vec::new(), Stream::of(1, 2));
        all.write(&mut out, &mut Values::of_vars(&vars, &mut stream));
        let (path, value) = ("1+2%20&%C3%A9~/%", "1%2B2%20%26%C3%A9~%2F%25");
        let wanted = format!("/a={path}?q={value}-{value}&{path}=b?{value}");
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn functions_write_what_they_say() {
        let write = |part| written(part, Place::Plain, "ann:é");
        let var = || Template(vec![Part::Var(Slot(0))]);
        assert_eq!(write(Part::Base64(var())), "<YW5uOsOp>");
        assert_eq!(write(Part::Base64(Template(vec![Part::Text("a".into())]))), "<YQ==>");
        assert_eq!(write(Part::Float { low: 2.5, high: 2.5, digits: 2 }), "<2.50>");
        let letters = write(Part::Letters(12));
        assert!(letters.len() == 14 && letters[1..13].bytes().all(|b| b.is_ascii_lowercase()), "{letters}");
        assert!(["<x>", "<y>"].contains(&&*write(Part::Pick(vec!["x".into(), "y".into()]))));
        assert_eq!(written(Part::Pick(vec!["a b".into()]), Place::Path, ""), "<a%20b>");
        let year = write(Part::Date { parts: vec![DatePart::Year], shift_ms: 0 });
        assert!(year.len() == 6 && *year > *"<2020>", "{year}");
    }

    #[test]
    fn what_was_sent_is_found_inside_of_base64_too() {
        let of = |part: Part| {
            let mut text = Text::default();
            text.template(&Template(vec![part]), Place::Plain);
            text
        };
        let base64 = |part: Part| Part::Base64(Template(vec![part]));
        let sent = || Part::Sent("id".into());
        for part in [sent(), base64(sent())] {
            let text = of(part);
            assert!(text.uses_sent() && text.mentions_sent("id") && !text.mentions_sent("op"), "{text:?}");
        }
        assert!(!of(base64(Part::Session)).uses_sent());
        assert_eq!(written(base64(sent()), Place::Plain, ""), "<Nw==>");
    }

    proptest! {
        #[test]
        fn any_value_survives_a_json_string(value in any::<String>()) {
            let mut out = b"\"".to_vec();
            put(&mut out, Place::Plain, Some(Escape::Json), value.as_bytes());
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
        }

        #[test]
        fn no_value_ends_a_line(value in any::<String>()) {
            for place in [Place::Path, Place::Query, Place::Field] {
                let mut out = Vec::new();
                put(&mut out, place, None, value.as_bytes());
                prop_assert!(!out.contains(&b'\r') && !out.contains(&b'\n'));
                prop_assert!(place == Place::Field || out.iter().all(u8::is_ascii_graphic));
            }
        }

        #[test]
        fn numbers_read_as_written(n: i64) {
            let mut out = Vec::new();
            write_i64(&mut out, n);
            prop_assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
        }
    }
}
