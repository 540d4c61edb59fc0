//! Mistakes in scenarios: what is wrong, where, what was expected, what was probably meant.
//!
//! Owns their form and how a person reads them. What counts as a mistake is decided where a value is read.

use std::fmt;
use std::ops::Range;

use timeline::text::clean;

/// More mistakes than this are only counted: nobody reads them, and a hostile file could hold a million.
pub(crate) const MAX_MISTAKES: usize = 50;
/// Characters of a quoted line that are shown; a longer line is cut around the caret.
const LINE_WIDTH: usize = 96;
/// Characters before the caret that are kept when a line is cut.
const LINE_BEFORE: usize = 40;
/// Characters of a value or name that are quoted.
const VALUE_WIDTH: usize = 60;
/// Longest sentence of a mistake, characters: a list of names may be long.
const MESSAGE_WIDTH: usize = 2_000;
/// A name further away than this share of its length is not offered as "did you mean".
const CLOSE_ENOUGH: f64 = 0.55;

/// A scenario that cannot be run, with every mistake that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The mistakes, in the order of the file; at least one, at most 50.
    pub mistakes: Vec<Mistake>,
    /// How many further mistakes were found but are not kept.
    pub more: usize,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, one sentence without a full stop.
    pub what: String,
    /// Where; none for a mistake outside any file, such as in an option.
    pub place: Option<Place>,
    /// What would be right.
    pub expected: Option<String>,
    /// What was probably meant, or what to do.
    pub help: Option<String>,
}

/// A place in a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, made harmless and cut to what fits.
    pub text: String,
    /// Where the caret stands in `text`, in characters from 0.
    pub caret: usize,
    /// How many characters are marked; at least 1.
    pub width: usize,
}

impl ScenarioError {
    /// A single mistake that no place in a file shows.
    #[must_use]
    pub(crate) fn single(wrong: Wrong) -> Self {
        Self { mistakes: vec![wrong.at(None)], more: 0 }
    }
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.mistakes.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            mistake.fmt(f)?;
        }
        let all = self.mistakes.len() + self.more;
        if all > 1 {
            write!(f, "\n\n{all} mistakes")?;
            if self.more > 0 {
                write!(f, ", the first {} are shown", self.mistakes.len())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut gutter = 1;
        if let Some(p) = &self.place {
            let line = p.line.to_string();
            gutter = line.len() + 1;
            write!(f, "\n{:>gutter$}--> {}:{}:{}", "", p.file, p.line, p.column)?;
            write!(f, "\n{:gutter$}|\n{line} | {}", "", p.text)?;
            write!(f, "\n{:gutter$}| {:caret$}{}", "", "", "^".repeat(p.width), caret = p.caret)?;
        }
        for (label, text) in [("expected", &self.expected), ("help", &self.help)] {
            if let Some(text) = text {
                write!(f, "\n{:gutter$}= {label}: {text}", "")?;
            }
        }
        Ok(())
    }
}

/// A mistake found by someone who does not know where the text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    what: String,
    expected: Option<String>,
    help: Option<String>,
    /// Which bytes of the text that was looked at; all of it if none.
    pub(crate) within: Option<Range<usize>>,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), expected: None, help: None, within: None }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do, if nothing was said yet.
    pub(crate) fn help_or(mut self, help: impl FnOnce() -> String) -> Self {
        self.help.get_or_insert_with(help);
        self
    }

    /// Offers the closest of `known`, if one is close.
    pub(crate) fn did_you_mean<'a>(self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(given, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    pub(crate) fn within(mut self, bytes: Range<usize>) -> Self {
        self.within = Some(bytes);
        self
    }

    /// The same of a text in which the one looked at begins `by` bytes later.
    pub(crate) fn shifted(mut self, by: usize) -> Self {
        self.within = self.within.map(|w| w.start + by..w.end + by);
        self
    }

    /// Puts words in front of what is wrong: `in --gate: ...`.
    pub(crate) fn in_front(mut self, words: &str) -> Self {
        self.what = format!("{words}: {}", self.what);
        self
    }

    /// Whole messages are made harmless here, since parts of them come from the file.
    pub(crate) fn at(self, place: Option<Place>) -> Mistake {
        let harmless = |text: String| clean(&text, MESSAGE_WIDTH);
        Mistake {
            what: harmless(self.what),
            place,
            expected: self.expected.map(harmless),
            help: self.help.map(harmless),
        }
    }

    /// As one sentence, for who has no place to show.
    pub(crate) fn sentence(&self) -> String {
        match &self.expected {
            Some(expected) => format!("{}, expected {expected}", self.what),
            None => self.what.clone(),
        }
    }
}

/// That there is no `what` called `name`, with those that are `known` and the one that was probably meant.
pub(crate) fn no_such<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Wrong {
    Wrong::new(format!("there is no {what} {}", quoted(name)))
        .expected(format!("one of {}", listed(known.clone())))
        .did_you_mean(name, known)
}

/// A name or value as it is quoted inside a sentence.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", clean(text, VALUE_WIDTH))
}

/// `a, b, c` or `none`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|n| clean(n, VALUE_WIDTH)).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The name in `known` that is most like `given`, if it is like it at all.
pub(crate) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs the product of the lengths; no name of ours is that long.
    if given.len() > VALUE_WIDTH {
        return None;
    }
    let given = given.to_lowercase();
    known
        .into_iter()
        .filter(|name| name.len() <= VALUE_WIDTH)
        .map(|name| (name, strsim::normalized_damerau_levenshtein(&given, &name.to_lowercase())))
        .filter(|(_, likeness)| *likeness >= CLOSE_ENOUGH)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}

/// Where the bytes `span` of `text` stand; a span that crosses a line's end is marked up to it.
pub(crate) fn place(file: &str, text: &str, span: Range<usize>) -> Place {
    let start = floor_boundary(text, span.start);
    let end = floor_boundary(text, span.end).max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let before = text[line_start..start].chars().count();
    let marked = text[start..end.min(line_end)].chars().count().max(1);
    let (shown, caret) = cut(line, before);
    let room = shown.chars().count().saturating_sub(caret).max(1);
    Place {
        file: clean(file, 4096),
        line: text[..start].bytes().filter(|b| *b == b'\n').count() + 1,
        column: before + 1,
        text: shown,
        caret,
        width: marked.min(room),
    }
}

/// The part of a line around character `at`, one column per character, and where `at` is in it.
fn cut(line: &str, at: usize) -> (String, usize) {
    let length = line.chars().count();
    let skip = if length > LINE_WIDTH { at.saturating_sub(LINE_BEFORE) } else { 0 };
    let body: String = line.chars().skip(skip).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let body = clean(body.trim_end(), LINE_WIDTH);
    if skip > 0 { (format!("…{body}"), at - skip + 1) } else { (body, at) }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_not_bytes() {
        let text = "a = 1\nü = \"x\"\r\nc = 3\n";
        let p = place("f", text, text.find("\"x\"").unwrap()..text.find("\"x\"").unwrap() + 3);
        assert_eq!((p.line, p.column, p.width, p.text.as_str()), (2, 5, 3, "ü = \"x\""));
        let end = place("f", text, text.len()..text.len() + 9);
        assert_eq!((end.line, end.column, end.width), (4, 1, 1));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}HERE{}", "a".repeat(5000), "b".repeat(5000));
        let p = place("f", &text, 5000..5004);
        assert!(p.text.chars().count() <= LINE_WIDTH + 1, "{}", p.text.len());
        assert_eq!(p.text.chars().skip(p.caret).take(p.width).collect::<String>(), "HERE");
        assert_eq!(p.column, 5001);
    }

    #[test]
    fn only_close_names_are_offered() {
        assert_eq!(closest("sesions", ["for", "sessions"]), Some("sessions"));
        assert_eq!(closest("Sessions", ["for", "sessions"]), Some("sessions"));
        assert_eq!(closest("zzz", ["for", "sessions"]), None);
    }
}
