//! Conditions: `token and (status == 200 or users.plan matches '^gold')`.
//!
//! Owns their grammar. Nothing in it can fail while a session runs: an unset variable is an empty text, and what cannot be
//! compared does not hold. Who evaluates them is `loadgen`.

use std::ops::Range;

use super::template::{self, Scope};
use crate::mistake::{Wrong, quoted};
use crate::plan::{Compare, Condition, Operand, Part, Test};

/// Longest condition, bytes; a longer one is nothing that a person reads.
const MAX_BYTES: usize = 1_000;
/// How deep brackets and `not` may be nested.
const MAX_DEPTH: usize = 16;
const LOOK: &str = "a condition such as \"token\", \"not token\", \"status == 200 and plan contains 'gold'\"";
const OPERAND: &str = "a variable, a number or a text in quotes";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'t> {
    /// A name or a keyword.
    Word(&'t str),
    /// `${name}`: never a keyword.
    Hole(&'t str),
    Text(&'t str),
    Number(f64),
    Sign(Compare),
    Open,
    Close,
}

/// Reads a condition; what is wrong has its place in the text.
pub(crate) fn parse(text: &str, scope: &Scope<'_>) -> Result<Condition, Wrong> {
    if text.len() > MAX_BYTES {
        return Err(Wrong::new("this condition is too long").expected(format!("at most {MAX_BYTES} bytes")));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some((token, range)) = next(text, at)? {
        at = range.end;
        tokens.push((token, range));
    }
    if tokens.is_empty() {
        return Err(Wrong::new("this condition is empty").expected(LOOK));
    }
    let mut parser = Parser { tokens: &tokens, end: text.len(), at: 0, depth: 0, scope };
    let test = parser.any()?;
    if parser.at < tokens.len() {
        return Err(parser.wrong("`and`, `or`, or the end"));
    }
    Ok(Condition { text: text.trim().to_owned(), test })
}

/// The token behind `at`, and where it stands.
fn next(text: &str, at: usize) -> Result<Option<(Token<'_>, Range<usize>)>, Wrong> {
    let rest = &text[at..];
    let start = at + rest.len() - rest.trim_start().len();
    let rest = &text[start..];
    let Some(first) = rest.chars().next() else { return Ok(None) };
    let found = |token, length: usize| Ok(Some((token, start..start + length)));
    if let Some((sign, compare)) = Compare::SPELLINGS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return found(Token::Sign(*compare), sign.len());
    }
    match first {
        '(' => return found(Token::Open, 1),
        ')' => return found(Token::Close, 1),
        '\'' | '"' => {
            let Some(end) = rest[1..].find(first) else {
                let wrong =
                    Wrong::new("a text without its end").expected(format!("another {first} behind it"));
                return Err(wrong.within(start..text.len()));
            };
            return found(Token::Text(&rest[1..=end]), end + 2);
        }
        '$' if rest.starts_with("${") => {
            let Some(end) = rest.find('}') else {
                return Err(Wrong::new("a `${` without its `}`")
                    .expected("${...}")
                    .within(start..text.len()));
            };
            return found(Token::Hole(rest[2..end].trim()), end + 1);
        }
        _ => {}
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let word = &rest[..length];
    if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return match word.parse::<f64>() {
            Ok(n) if n.is_finite() => found(Token::Number(n), length),
            _ => Err(Wrong::new(format!("{} is not a number", quoted(word)))
                .expected("a number such as 200 or -0.5; a text stands in quotes")
                .within(start..start + length)),
        };
    }
    if length > 0 {
        return found(Token::Word(word), length);
    }
    let length = first.len_utf8();
    let wrong = Wrong::new(format!("{} means nothing here", quoted(&rest[..length]))).expected(LOOK);
    let wrong = if first == '=' { wrong.help("equal is written `==`") } else { wrong };
    let wrong = if matches!(first, '&' | '|') { wrong.help("write `and`, `or`") } else { wrong };
    Err(if first == '!' { wrong.help("write `not`") } else { wrong }.within(start..start + length))
}

struct Parser<'p, 't> {
    tokens: &'p [(Token<'t>, Range<usize>)],
    /// Length of the whole text.
    end: usize,
    at: usize,
    depth: usize,
    scope: &'p Scope<'p>,
}

impl<'t> Parser<'_, 't> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).map(|(token, _)| *token)
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek() == Some(Token::Word(word))
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        self.at += usize::from(there);
        there
    }

    /// What stands at the next token is not what it should be.
    fn wrong(&self, expected: &str) -> Wrong {
        match self.tokens.get(self.at) {
            Some((_, range)) => {
                Wrong::new("this does not belong here").expected(expected).within(range.clone())
            }
            None => Wrong::new("this condition is not complete").expected(expected).within(0..self.end),
        }
    }

    fn any(&mut self) -> Result<Test, Wrong> {
        let mut all = vec![self.all()?];
        while self.take("or") {
            all.push(self.all()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Test::Any(all) })
    }

    fn all(&mut self) -> Result<Test, Wrong> {
        let mut all = vec![self.not()?];
        while self.take("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Test::All(all) })
    }

    fn not(&mut self) -> Result<Test, Wrong> {
        if self.depth == MAX_DEPTH {
            return Err(self
                .wrong("")
                .expected(format!("at most {MAX_DEPTH} brackets and `not` inside each other")));
        }
        self.depth += 1;
        let test = if self.take("not") {
            Test::Not(Box::new(self.not()?))
        } else if self.peek() == Some(Token::Open) {
            self.at += 1;
            let inner = self.any()?;
            if self.peek() != Some(Token::Close) {
                return Err(self.wrong("`and`, `or`, or `)`"));
            }
            self.at += 1;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(test)
    }

    fn comparison(&mut self) -> Result<Test, Wrong> {
        let from = self.at;
        let left = self.operand()?;
        if let Some(Token::Sign(compare)) = self.peek() {
            self.at += 1;
            return Ok(Test::Compare(left, compare, self.operand()?));
        }
        if self.take("contains") {
            return Ok(Test::Contains(left, self.operand()?));
        }
        if self.take("matches") {
            let Some(Token::Text(pattern)) = self.peek() else {
                return Err(self.wrong("a regular expression in quotes"));
            };
            let pattern =
                super::pattern::regex(pattern).map_err(|w| w.within(self.tokens[self.at].1.clone()))?;
            self.at += 1;
            return Ok(Test::Matches(left, pattern));
        }
        if matches!(left, Operand::Value(_)) {
            return Ok(Test::Set(left));
        }
        let wrong =
            Wrong::new("this is always the same").expected("a comparison behind it, such as `== plan`");
        Err(wrong.help("a name without quotes is a variable").within(self.tokens[from].1.clone()))
    }

    fn operand(&mut self) -> Result<Operand, Wrong> {
        let Some((token, range)) = self.tokens.get(self.at) else { return Err(self.wrong(OPERAND)) };
        let operand = match token {
            Token::Number(n) => Operand::Number(*n),
            Token::Text(text) => Operand::Text((*text).to_owned()),
            Token::Word("and" | "or" | "not" | "contains" | "matches")
            | Token::Sign(_)
            | Token::Open
            | Token::Close => {
                return Err(self.wrong(OPERAND));
            }
            Token::Word(name) | Token::Hole(name) if name.starts_with("vars.") => {
                let name = timeline::text::clean(name, 40);
                let wrong = Wrong::new(format!(
                    "{} is put in before the condition is read, and is no variable in it",
                    quoted(&name)
                ));
                let look = format!("it inside a text: '${{{name}}}' == 'true'");
                return Err(wrong.expected(look).within(range.clone()));
            }
            Token::Word(name) | Token::Hole(name) => {
                let part = template::named(name, self.scope).map_err(|w| {
                    let help = w.help_or(|| {
                        format!("a text stands in quotes: '{}'", timeline::text::clean(name, 40))
                    });
                    help.within(range.clone())
                })?;
                // A column of a feeder that could not be read.
                if let Part::Text(text) = part { Operand::Text(text) } else { Operand::Value(part) }
            }
        };
        self.at += 1;
        Ok(operand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Slot;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Test, String> {
        let slots = ["token".to_owned(), "n".to_owned()];
        let scope = Scope { slots: &slots, feeders: &[], secrets: &[], sent: None };
        parse(text, &scope).map(|c| c.test).map_err(|w| w.sentence())
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        let set = |slot| Test::Set(Operand::Value(Part::Var(Slot(slot))));
        assert_eq!(read("token").unwrap(), set(0));
        assert_eq!(
            read("not token or ${n} and token").unwrap(),
            Test::Any(vec![Test::Not(Box::new(set(0))), Test::All(vec![set(1), set(0)])])
        );
        assert_eq!(
            read("(token or n) and not (n)").unwrap(),
            Test::All(vec![Test::Any(vec![set(0), set(1)]), Test::Not(Box::new(set(1)))])
        );
        let n = || Operand::Value(Part::Var(Slot(1)));
        assert_eq!(read("n<=-1.5").unwrap(), Test::Compare(n(), Compare::AtMost, Operand::Number(-1.5)));
        assert_eq!(
            read("'a b' != n").unwrap(),
            Test::Compare(Operand::Text("a b".into()), Compare::Other, n())
        );
        assert_eq!(read("n matches \"^a\"").unwrap(), Test::Matches(n(), "^a".into()));
    }

    #[test]
    fn a_value_of_vars_is_told_how_it_is_compared() {
        for text in ["vars.flag", "token and vars.flag == 'x'"] {
            let why = read(text).unwrap_err();
            assert!(why.contains("`vars.flag`") && why.contains("'${vars.flag}' == 'true'"), "{why}");
        }
        assert!(read("variable").unwrap_err().contains("variable"));
        assert!(read("'vars.flag' == token").is_ok(), "a text is a text");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[${}().,'\"<>=!&|a-z0-9 ä-]{0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn words_in_any_order_are_survived(words in prop::collection::vec(
            prop::sample::select(vec!["not", "and", "or", "(", ")", "token", "n", "==", "<", "5", "'x'", "contains", "matches", "${n}"]), 0..40)) {
            let _ = read(&words.join(" "));
        }
    }
}
