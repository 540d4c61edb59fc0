//! A gate's words, each with its place, and how they are taken one after another.

use std::time::Duration;

use super::subject::{no_percentile, stat};
use crate::gate::quantity::{self, Dimension, Quantity};
use crate::gate::{GateError, Op, Stat};

/// A window shorter than the interval of histograms (one second) would see some of them and not others.
const LEAST_WINDOW: Duration = Duration::from_secs(1);

/// One word of the text.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// Without its quotes.
    pub text: String,
    /// In lower case (of ASCII, so that a byte of it is that byte of the text), empty for a quoted word: it is never a keyword.
    pub key: String,
    /// Byte range in the text, quotes included.
    pub start: usize,
    pub end: usize,
}

pub(super) struct Words<'a> {
    pub text: &'a str,
    words: Vec<Word>,
    next: usize,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, GateError> {
        let mut all = Self { text, words: Vec::new(), next: 0 };
        let mut rest = 0;
        while let Some(c) = text[rest..].chars().next() {
            let tail = &text[rest..];
            let len = match c {
                _ if c.is_whitespace() => {
                    rest += c.len_utf8();
                    continue;
                }
                '<' | '>' => 1 + usize::from(tail[1..].starts_with('=')),
                '"' | '\'' => match tail[1..].find(c) {
                    Some(n) => n + 2,
                    None => return Err(all.error_at(rest, "this quote is not closed", None)),
                },
                '=' | '!' if tail[1..].starts_with('=') => 2 + usize::from(tail[2..].starts_with('=')),
                _ => word_length(tail),
            };
            let quoted = matches!(c, '"' | '\'');
            let raw = if quoted { &tail[1..len - 1] } else { &tail[..len] };
            let key = if quoted { String::new() } else { raw.to_ascii_lowercase() };
            all.words.push(Word { text: raw.to_owned(), key, start: rest, end: rest + len });
            rest += len;
        }
        Ok(all)
    }

    pub(super) fn peek(&self) -> Option<&Word> {
        self.words.get(self.next)
    }

    pub(super) fn take(&mut self) -> Option<Word> {
        let word = self.words.get(self.next).cloned();
        self.next += usize::from(word.is_some());
        word
    }

    /// Byte at which the next word begins; the end of the text when there is none.
    pub(super) fn at(&self) -> usize {
        self.peek().map_or(self.text.len(), |w| w.start)
    }

    pub(super) fn eat(&mut self, key: &str) -> bool {
        let hit = self.peek().is_some_and(|w| w.key == key);
        self.next += usize::from(hit);
        hit
    }

    pub(super) fn expect(&mut self, key: &str) -> Result<(), GateError> {
        if self.eat(key) { Ok(()) } else { Err(self.expected(&format!("`{key}`"))) }
    }

    pub(super) fn end(&self) -> Result<(), GateError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end")) }
    }

    pub(super) fn stat(&mut self) -> Result<Option<(Stat, bool)>, GateError> {
        let at = self.at();
        let Some(key) = self.peek().map(|w| w.key.clone()) else { return Ok(None) };
        let found = stat(&key).map_err(|s| self.error_at(at, no_percentile(&key), s))?;
        self.next += usize::from(found.is_some());
        Ok(found)
    }

    /// The comparison; none for `==`, which only stands for the end of a scale.
    pub(super) fn op(&mut self) -> Result<Option<Op>, GateError> {
        let op = match self.peek().map(|w| w.key.as_str()) {
            Some("<") => Some(Op::Less),
            Some("<=") => Some(Op::AtMost),
            Some(">") => Some(Op::More),
            Some(">=") => Some(Op::AtLeast),
            Some("==" | "===") => None,
            _ => return Err(self.expected("`<`, `<=`, `>` or `>=`")),
        };
        self.next += 1;
        Ok(op)
    }

    /// Byte behind the word that was taken last.
    pub(super) fn end_of_last(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |i| self.words[i].end)
    }

    /// Goes on behind this byte of the text.
    pub(super) fn skip_to(&mut self, byte: usize) {
        while self.peek().is_some_and(|w| w.start < byte) {
            self.next += 1;
        }
    }

    fn is_keyword(&self, i: usize) -> bool {
        let key = |i: usize| self.words.get(i).map_or("", |w| w.key.as_str());
        match key(i) {
            "in" => key(i + 1) == "phase",
            "over" => quantity::read(key(i + 1)).is_some_and(|q| q.dimension == Dimension::Time),
            _ => false,
        }
    }

    pub(super) fn limit(&mut self) -> Result<(usize, Quantity), GateError> {
        let start = self.at();
        let first = self.next;
        while self
            .peek()
            .is_some_and(|w| !matches!(w.key.as_str(), "" | "for" | "in" | "over" | "of" | "<" | ">"))
        {
            self.next += 1;
        }
        if self.next == first {
            return Err(self.expected("a limit such as 250ms, 0.1% or 300MiB"));
        }
        let raw = &self.text[start..self.words[self.next - 1].end];
        match quantity::read(raw).filter(|q| q.value.is_finite()) {
            Some(quantity) => Ok((start, quantity)),
            None => {
                let problem =
                    format!("`{raw}` is no limit; expected one such as 250ms, 0.1%, 300MiB or 500/s");
                Err(self.error_at(start, problem, None))
            }
        }
    }

    /// A name: one quoted word, or all words up to the next keyword.
    pub(super) fn name(&mut self, what: &str) -> Result<String, GateError> {
        let Some(first) = self.peek().cloned() else {
            return Err(self.expected(&format!("the name of {what}")));
        };
        if first.key.is_empty() {
            self.next += 1;
            return Ok(first.text);
        }
        let mut end = first.end;
        while let Some(word) = self.peek() {
            let begins_scope = self.is_keyword(self.next) || what == "a phase" && word.key == "for";
            if begins_scope && word.start > first.start {
                break;
            }
            end = word.end;
            self.next += 1;
        }
        Ok(self.text[first.start..end].to_owned())
    }

    pub(super) fn window(&mut self) -> Result<Duration, GateError> {
        let at = self.at();
        let word = self.take().map(|w| w.text).unwrap_or_default();
        let window = quantity::read(&word)
            .filter(|q| q.dimension == Dimension::Time && q.value > 0.0)
            .map(|q| Duration::from_nanos(q.value as u64));
        match window {
            Some(window) if window >= LEAST_WINDOW => Ok(window),
            Some(_) => Err(self.error_at(at, "the shortest window is 1s", Some("over 1s".into()))),
            None => Err(self.error_at(at, "expected a duration such as 30s", None)),
        }
    }

    pub(super) fn expected(&self, what: &str) -> GateError {
        match self.peek() {
            Some(word) => self.error_at(word.start, format!("found `{}`, expected {what}", word.text), None),
            None => self.error_at(self.text.len(), format!("it ends here, expected {what}"), None),
        }
    }

    pub(super) fn error_at(
        &self,
        byte: usize,
        problem: impl Into<String>,
        suggestion: Option<String>,
    ) -> GateError {
        let at = self.text[..byte].chars().count() + 1;
        GateError { text: self.text.to_owned(), at, problem: problem.into(), suggestion }
    }
}

/// Up to the next space or comparison.
fn word_length(tail: &str) -> usize {
    let ends = |(i, c): (usize, char)| {
        c.is_whitespace()
            || matches!(c, '<' | '>')
            || tail[i..].starts_with("==")
            || tail[i..].starts_with("!=")
    };
    tail.char_indices().find(|at| ends(*at)).map_or(tail.len(), |(i, _)| i)
}

/// The name as it must be written to be read back.
pub(in crate::gate) fn quoted(name: &str) -> String {
    let words = Words::of(name);
    let plain = words.as_ref().is_ok_and(|w| {
        !w.words.is_empty()
            && w.words.iter().enumerate().all(|(i, word)| {
                !matches!(word.key.as_str(), "" | "for" | "in" | "over")
                    && !word.text.contains(['<', '>', '='])
                    && !w.is_keyword(i)
            })
    });
    match (plain && name.trim() == name, name.contains('"')) {
        (true, _) => name.to_owned(),
        (false, false) => format!("\"{name}\""),
        (false, true) => format!("'{name}'"),
    }
}
