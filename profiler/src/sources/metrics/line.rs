//! One line of a page: the text formats of Prometheus (0.0.4 and 1.0.0) and of OpenMetrics (1.0.0).
//!
//! Owns the grammar of a sample. Names and labels are borrowed from the page; nothing is allocated but an unescaped
//! label. A parser of our own: the crates that exist (`prometheus-parse`, `openmetrics-parser`) build maps of a whole page without
//! any bound, and give up the page for one bad line. Comments, types, timestamps and exemplars are stepped over: the table of
//! rules knows what a metric is.

use std::borrow::Cow;

/// Longest line, bytes. A label of 1 KB is long; an endless one must not be searched for its end again and again.
pub(in crate::sources) const MAX_LINE: usize = 16 << 10;
/// Most labels of a series. Kubernetes adds about ten to a client library's three.
const MAX_LABELS: usize = 48;

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sources) struct Line<'a> {
    pub name: Cow<'a, str>,
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub value: f64,
    /// Is `value` what a counter has grown by, and not its whole count? No page says so.
    pub grown: bool,
}

impl Line<'_> {
    /// The value of label `name`.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }
}

/// Why a line is none.
pub(super) type Wrong = &'static str;

/// The metric's name that a line begins with, without a look at the rest of it; empty if it is quoted inside the braces.
pub(super) fn name_of(line: &str) -> &str {
    let end = line.bytes().position(|b| !is_name(b)).unwrap_or(line.len());
    &line[..end]
}

/// Reads a line that is neither empty nor a comment.
pub(super) fn read(line: &str) -> Result<Line<'_>, Wrong> {
    if line.len() > MAX_LINE {
        return Err("longer than 16 KiB");
    }
    let mut name = Cow::Borrowed(name_of(line));
    let mut rest = line[name.len()..].trim_start_matches([' ', '\t']);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut name, &mut labels)?;
    }
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
        return Err("no metric's name at its beginning");
    }
    let word = rest.split_ascii_whitespace().next().ok_or("no value")?;
    Ok(Line { name, labels, value: number(word)?, grown: false })
}

/// What stands between braces, and returns what follows. A quoted text without `=` is the metric's name (Prometheus 3).
fn read_labels<'a>(
    mut rest: &'a str,
    name: &mut Cow<'a, str>,
    labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<&'a str, Wrong> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let label = if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = read_quoted(quoted)?;
            rest = after;
            text
        } else {
            let label = name_of(rest);
            rest = &rest[label.len()..];
            Cow::Borrowed(label)
        };
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix('=') {
            Some(after) => {
                let after = after.trim_start_matches([' ', '\t']);
                let (value, after) =
                    read_quoted(after.strip_prefix('"').ok_or("a label's value without quotes")?)?;
                rest = after;
                if labels.len() >= MAX_LABELS {
                    return Err("more than 48 labels");
                }
                labels.push((label, value));
            }
            None if name.is_empty() && !label.is_empty() => *name = label,
            None => return Err("a label without a value, or braces that are not closed"),
        }
    }
}

/// Text up to the closing quote, and what follows it. Escapes: `\\`, `\"` and `\n`; others stand for themselves.
fn read_quoted(text: &str) -> Result<(Cow<'_, str>, &str), Wrong> {
    let mut escaped = false;
    let mut any = false;
    let end = text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        any |= escaped;
        closes
    });
    let end = end.ok_or("a quote that is not closed")?;
    let inside = &text[..end];
    let value = if any { Cow::Owned(unescaped(inside)) } else { Cow::Borrowed(inside) };
    Ok((value, &text[end + 1..]))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(next @ ('\\' | '"'))) => out.push(next),
            ('\\', Some(other)) => out.extend(['\\', other]),
            (c, _) => out.push(c),
        }
    }
    out
}

/// A number as Go writes it: also `NaN`, `+Inf`, `-Inf`.
fn number(word: &str) -> Result<f64, Wrong> {
    // Rust reads `+Inf`, `inf`, `NaN` and exponents alike; what it reads beyond Go (`infinity`) does no harm.
    word.parse().map_err(|_| "a value that is no number")
}

fn is_name(byte: u8) -> bool {
    // Dots are not in the grammar, but some libraries write them.
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_formats_are_read_with_their_oddities() {
        for (line, name, labels, value) in [
            ("up 1", "up", vec![], 1.0),
            ("up{} 1 1700000000000", "up", vec![], 1.0),
            (
                r#"a_total{x="1",y="a\"b\\c\nd",} 3e2"#,
                "a_total",
                vec![("x", "1"), ("y", "a\"b\\c\nd")],
                300.0,
            ),
            (r#"h_bucket { le = "+Inf" }	7 # {trace_id="x"} 0.1 1.0"#, "h_bucket", vec![("le", "+Inf")], 7.0),
            (
                r#"{"http.server.duration","http.route"="/a}b"} 2"#,
                "http.server.duration",
                vec![("http.route", "/a}b")],
                2.0,
            ),
            ("t -Inf", "t", vec![], f64::NEG_INFINITY),
        ] {
            let read = read(line).unwrap();
            let got: Vec<(&str, &str)> = read.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!((&*read.name, got, read.value), (name, labels, value), "{line}");
        }
        assert!(read("x NaN").unwrap().value.is_nan());
    }

    #[test]
    fn what_is_no_sample_is_told_apart() {
        for (line, wrong) in [
            ("<html>", "no metric's name at its beginning"),
            ("up", "no value"),
            ("up yes", "a value that is no number"),
            (r#"a{x="1 2"#, "a quote that is not closed"),
            ("a{x=1} 2", "a label's value without quotes"),
            (r#"a{x="1""#, "a label without a value, or braces that are not closed"),
        ] {
            assert_eq!(read(line), Err(wrong), "{line}");
        }
        assert_eq!(read(&format!("a{{x=\"{}\"}} 1", "y".repeat(MAX_LINE))), Err("longer than 16 KiB"));
        assert_eq!(read(&format!("a{{{}}} 1", "x=\"\",".repeat(49))), Err("more than 48 labels"));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "[a{}=\",\\\\ \t#é1+]{0,40}|\\PC{0,40}") {
            let _ = read(&line);
        }

        #[test]
        fn labels_come_back_as_they_were_written(value in "\\PC{0,20}|[\\\\\"\n]{0,6}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("m{{l=\"{escaped}\"}} 1");
            let read = read(&line).unwrap();
            prop_assert_eq!(read.label("l"), Some(&*value));
        }
    }
}
