//! Pseudonyms: a number for each text of a sort, in the order in which texts are met, and the search for such texts in prose.

use std::collections::BTreeMap;

/// A cut text is taken for the one that it begins, if so many characters agree: `SELECT * FRO` alone would be anybody's.
const LEAST_AGREEING: usize = 16;

/// Texts that have a pseudonym.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_sort: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Names {
    /// The pseudonym of `text`, a new one if it has none: `host-1`.
    pub(super) fn of(&mut self, sort: &'static str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        self.of_form(sort, text, |n| format!("{sort}-{n}"))
    }

    /// The same, of a form of the caller's choice.
    pub(crate) fn of_form(
        &mut self,
        sort: &'static str,
        text: &str,
        form: impl Fn(usize) -> String,
    ) -> String {
        let known = self.by_sort.entry(sort).or_default();
        let next = known.len() + 1;
        known.entry(text.to_owned()).or_insert_with(|| form(next)).clone()
    }

    /// `text` with every known text of such sorts in it replaced, the longest first; names only where a whole word is one. What was cut
    /// (`SELECT id FROM pur…`) goes as well.
    pub(crate) fn replace_if(&self, text: &str, sort: impl Fn(&str) -> bool) -> String {
        let sorts = self.by_sort.iter().filter(|(name, _)| sort(name));
        let mut known: Vec<(&str, &str)> =
            sorts.flat_map(|(_, texts)| texts).map(|(a, b)| (a.as_str(), b.as_str())).collect();
        known.sort_by_key(|(a, _)| std::cmp::Reverse(a.len()));
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let before = out.chars().next_back();
            match known.iter().find_map(|(a, b)| Some((agreeing(rest, a, before)?, *b))) {
                Some((length, pseudonym)) => {
                    out += pseudonym;
                    rest = &rest[length..];
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out
    }
}

/// Bytes of `rest` that are `known`, whole or cut; none if they are something else.
fn agreeing(rest: &str, known: &str, before: Option<char>) -> Option<usize> {
    let same: usize =
        rest.chars().zip(known.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let joined = |a: Option<char>, b: Option<char>| a.is_some_and(word) && b.is_some_and(word);
    if joined(before, known.chars().next()) {
        return None;
    }
    let next = rest[same..].chars().next();
    if same == known.len() {
        return (!joined(known.chars().next_back(), next)).then_some(same);
    }
    let cut = next == Some('…') && known[..same].chars().count() >= LEAST_AGREEING;
    cut.then_some(same + '…'.len_utf8())
}

/// Is it a word or a few, as people name steps: nothing that could be an address, a path or a statement?
pub(super) fn is_plain(text: &str) -> bool {
    /// Names that people give are shorter.
    const LONGEST: usize = 40;
    text.len() <= LONGEST
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_pseudonym_wherever_it_stands() {
        let mut names = Names::default();
        let statement = "SELECT id FROM purchase WHERE customer = ?";
        assert_eq!(names.of("statement", statement), "statement-1");
        assert_eq!(names.of("statement", "SELECT 1"), "statement-2");
        assert_eq!(names.of("statement", statement), "statement-1");
        assert_eq!(names.of("host", "db"), "host-1");
        let said = names.replace_if(
            "`SELECT id FROM purchase WHERE customer = ?` on db, not dbs; SELECT id FROM purch…",
            |_| true,
        );
        assert_eq!(said, "`statement-1` on host-1, not dbs; statement-1");
    }

    #[test]
    fn a_word_is_plain_and_an_address_is_not() {
        assert!(is_plain("put into cart") && is_plain("log-in"));
        for text in ["", "GET /x", "a.b", "me@x", "10", "SELECT * FROM t"] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
