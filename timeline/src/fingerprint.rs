//! The fingerprint of a statement: its text without what changes from call to call.
//!
//! Owns [`of`], which the agent calls at the client and sources at the server, so that both tell of one statement. Literals, parameters and comments never get into a fingerprint, since they may hold anybody's data; lists of
//! values are as long as one. What stands in double quotes is a name, as the standard has it. And [`of_told`]: what a process tells as a
//! fingerprint of its own making is not believed to be one.

use crate::event::LABEL_MAX;
use crate::text::clean;

/// Longer texts are cut before they are looked at, bytes: what tells statements apart comes early.
const READ_MAX: usize = 16 * 1024;
/// Stands for literals and parameters.
const HOLE: &str = "?";
/// Between a text that was cut and the sum over all of it, and digits of the sum.
const CUT: &str = "…#";
const SUM_DIGITS: usize = 5;
/// Behind these a minus is a sign and takes nothing away.
const BEFORE_SIGN: [&str; 9] = ["(", ",", "=", "<", ">", "+", "*", "/", "%"];
/// The tokens of two groups of values in a row, the second of which says nothing new.
const GROUPS: [&str; 7] = ["(", HOLE, ")", ",", "(", HOLE, ")"];

/// The fingerprint of `sql`, at most [`LABEL_MAX`] characters. One that is cut ends with a sum over all of it, so that
/// statements that begin alike stay apart.
#[must_use]
pub fn of(sql: &str) -> String {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut rest = &sql[..sql.floor_char_boundary(READ_MAX)];
    let mut spaced = false;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        let text = &rest[..length];
        rest = &rest[length..];
        match kind {
            Kind::Nothing => {}
            Kind::Value => push(&mut tokens, Token { text: HOLE, spaced }),
            Kind::Text => push(&mut tokens, Token { text, spaced }),
        }
        spaced = kind == Kind::Nothing;
    }
    while tokens.last().is_some_and(|t| t.text == ";") {
        tokens.pop();
    }
    cut(&join(&tokens))
}

/// What is told as a fingerprint: the same if it is one, else the fingerprint of it.
#[must_use]
pub fn of_told(told: &str) -> String {
    let is_sum = |sum: &str| sum.len() == SUM_DIGITS && sum.bytes().all(|b| b.is_ascii_hexdigit());
    let body = told.rsplit_once(CUT).filter(|&(_, sum)| is_sum(sum)).map_or(told, |(body, _)| body);
    if is_masked(body) { told.to_owned() } else { of(told) }
}

/// Is there no literal, parameter or comment in it?
fn is_masked(mut rest: &str) -> bool {
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        let masked = match kind {
            Kind::Nothing => first.is_whitespace(),
            Kind::Value => rest.starts_with(HOLE),
            Kind::Text => true,
        };
        if !masked {
            return false;
        }
        rest = &rest[length..];
    }
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Space or comment.
    Nothing,
    /// Changes from call to call.
    Value,
    /// All else.
    Text,
}

struct Token<'a> {
    text: &'a str,
    spaced: bool,
}

/// Adds `token`, unless it goes on with a list of values. A sign belongs to its value.
fn push<'a>(tokens: &mut Vec<Token<'a>>, mut token: Token<'a>) {
    if token.text == HOLE && !token.spaced && ends_with(tokens, &["-"]) {
        let before = tokens.len().checked_sub(2).map(|n| tokens[n].text);
        if before.is_some_and(|text| BEFORE_SIGN.contains(&text)) {
            token.spaced = tokens.pop().is_some_and(|sign| sign.spaced);
        }
    }
    if token.text == HOLE && ends_with(tokens, &[HOLE, ","]) {
        tokens.pop();
        return;
    }
    tokens.push(token);
    if ends_with(tokens, &GROUPS) {
        tokens.truncate(tokens.len() - 4);
    }
}

fn ends_with(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len()
        && tokens[tokens.len() - texts.len()..].iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// What `rest` begins with, and how many bytes that takes; at least one character.
fn next(rest: &str, first: char) -> (Kind, usize) {
    let after = &rest[first.len_utf8()..];
    let one = first.len_utf8();
    match first {
        c if c.is_whitespace() => (Kind::Nothing, one),
        '-' if after.starts_with('-') => (Kind::Nothing, until(rest, "\n", 2)),
        '/' if after.starts_with('*') => (Kind::Nothing, until(rest, "*/", 2)),
        '\'' => (Kind::Value, quoted(rest, '\'', false)),
        '"' | '`' => (Kind::Text, quoted(rest, first, false)),
        '?' => (Kind::Value, one + word(after)),
        ':' if after.starts_with(':') => (Kind::Text, 2),
        ':' | '@' if word(after) > 0 => (Kind::Value, one + word(after)),
        '$' => dollar(rest),
        c if c.is_ascii_digit() => (Kind::Value, number(rest)),
        '.' if after.starts_with(|c: char| c.is_ascii_digit()) => (Kind::Value, number(rest)),
        c if c.is_alphanumeric() || c == '_' => named(rest),
        _ => (Kind::Text, one),
    }
}

/// Bytes up to and with `end`, looked for from byte `from` on; all of them if it never comes.
fn until(text: &str, end: &str, from: usize) -> usize {
    text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
}

/// Bytes of a text in quotes, in which two quotes are one, and a backslash may save one.
fn quoted(text: &str, quote: char, backslash: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            if characters.next_if(|(_, c)| *c == quote).is_none() {
                return at + quote.len_utf8();
            }
        } else if backslash && c == '\\' {
            characters.next();
        }
    }
    text.len()
}

/// Bytes of letters, digits and underscores at the start.
fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// Bytes of a number: `12`, `1.5e-3`, `0xff`, `1_000`.
fn number(text: &str) -> usize {
    let mut before = ' ';
    let end = text.find(|c: char| {
        let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
        before = c;
        !(c.is_alphanumeric() || c == '_' || c == '.' || sign)
    });
    end.unwrap_or(text.len())
}

/// `$1`, `$tag$ text $tag$`, or a lonely dollar.
fn dollar(text: &str) -> (Kind, usize) {
    let name = 1 + word(&text[1..]);
    if text[name..].starts_with('$') {
        let tag = &text[..=name];
        return (Kind::Value, until(text, tag, tag.len()));
    }
    if name > 1 { (Kind::Value, name) } else { (Kind::Text, 1) }
}

/// A name, a keyword, or a literal that begins with a letter: `E'it\'s'`, `x'00'`, `N'text'`.
fn named(text: &str) -> (Kind, usize) {
    let length = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
    let prefix = &text[..length];
    if !text[length..].starts_with('\'') || !matches!(prefix, "e" | "E" | "x" | "X" | "b" | "B" | "n" | "N") {
        return (Kind::Text, length);
    }
    (Kind::Value, length + quoted(&text[length..], '\'', matches!(prefix, "e" | "E")))
}

fn join(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    for token in tokens {
        if token.spaced && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(token.text);
    }
    clean(&text, READ_MAX)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LABEL_MAX {
        return text.to_owned();
    }
    // FNV-1a, folded to 20 bits: the same text has the same sum in every process and build.
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, b| (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let tail = format!("{CUT}{:0SUM_DIGITS$x}", (sum ^ (sum >> 20) ^ (sum >> 40)) & 0xf_ffff);
    let kept = LABEL_MAX - tail.chars().count();
    text.chars().take(kept).chain(tail.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_changes_from_call_to_call_is_left_out() {
        let said = [
            "\n    SELECT product.id, name FROM product\n  WHERE product.id > ?1 ORDER BY product.id LIMIT ?2",
            "select * from t2 where a = $1 and b=:name and c = @c and d::text = 'x''y' or e = E'it\\'s' -- id 7\n and f = 1.5e-3",
            "INSERT INTO offer (sku, cents) VALUES (?1, ?2), (?3, ?4), ('a', -5) /* trace=42 */;",
            "SELECT 1 FROM \"Table 1\" WHERE a IN (1, 2,3) AND b = $q$ it's $q$ AND c = x'00ff' AND d = 0xff",
            "SELECT 'never closed",
        ];
        insta::assert_snapshot!(said.map(of).join("\n"));
    }

    #[test]
    fn long_ones_are_cut_and_stay_apart() {
        let (one, other) =
            (of(&format!("SELECT {}", "a, ".repeat(100))), of(&format!("SELECT {}b", "a, ".repeat(100))));
        assert_eq!((one.chars().count(), other.chars().count()), (LABEL_MAX, LABEL_MAX));
        assert_ne!(one, other);
        assert_eq!(of(&"(".repeat(100_000)).chars().count(), LABEL_MAX);
    }

    #[test]
    fn what_is_told_as_a_fingerprint_is_one_or_becomes_one() {
        for secret in [
            "SELECT 'secret'",
            "INSERT INTO docs VALUES ('secret that was cut…",
            "SELECT $$secret$$, E'it\\'s secret', $q$secret",
            "SELECT a FROM b /* secret */ WHERE c = ? -- secret",
            "SELECT a /* secret…#0a1b2",
        ] {
            let print = of_told(secret);
            assert!(!print.contains("secret") && print.starts_with(&secret[..6]), "{print}");
        }
        for print in ["", "other", "SELECT a, \"it's\" FROM t2 WHERE b = ?…", "INSERT INTO docs VALUES (?)…"]
        {
            assert_eq!(of_told(print), print);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,300}") {
            let print = of(&text);
            prop_assert!(print.chars().count() <= LABEL_MAX && !print.contains(char::is_control));
        }

        #[test]
        fn a_fingerprint_of_ours_stays_what_it_is(names in "[a-z, \"(]{0,200}", number in any::<u16>()) {
            let print = of(&format!("SELECT {names} FROM t WHERE a = {number} AND b > -{number}"));
            prop_assert_eq!(of_told(&print), print);
        }

        #[test]
        fn no_literal_gets_in(text in "[^\\\\]{0,40}", number in any::<u32>(), real in 0.0_f64..1e9) {
            let with = |text: &str, number: &str, real: &str| {
                of(&format!("UPDATE t SET a = '{}', b = {number} WHERE c IN ({real}, {number})", text.replace('\'', "''")))
            };
            prop_assert_eq!(with(&text, &number.to_string(), &real.to_string()), with("x", "1", "1.0"));
        }
    }
}
