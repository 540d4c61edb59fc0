//! Text from the target, made harmless, and words for counts.
//!
//! Owns the one function through which untrusted text (routes, keys, error messages) goes before it
//! is kept: no control characters, no bidirectional overrides, bounded length; and its like for whole pages before they are
//! printed, since a file may say what no run has written. Escaping for HTML is the report's own duty on top of it.

/// `1 run`, `5 runs`: for things whose plural takes an `s`.
#[must_use]
pub fn plural(n: usize, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        n if thing.ends_with('s') => format!("{n} {thing}es"),
        n => format!("{n} {thing}s"),
    }
}

/// `text` without control and bidirectional formatting characters (each becomes U+FFFD), cut to `max` characters with `…`.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let mut out: String =
        text.chars().take(max).map(|c| if is_harmful(c) { '\u{FFFD}' } else { c }).collect();
    if text.chars().nth(max).is_some() {
        out.pop();
        out.push('…');
    }
    out
}

/// The same for a page of any length: its line breaks and tabs stay.
#[must_use]
pub fn clean_page(page: &str) -> String {
    page.chars().map(|c| if is_harmful(c) && !matches!(c, '\n' | '\t') { '\u{FFFD}' } else { c }).collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::{clean, clean_page, plural};

    #[test]
    fn one_is_no_plural() {
        let told = |n| [plural(n, "pool"), plural(n, "worker process")];
        assert_eq!(told(1), ["1 pool", "1 worker process"]);
        assert_eq!(told(2), ["2 pools", "2 worker processes"]);
        assert_eq!(told(0)[1], "0 worker processes");
    }

    #[test]
    fn escape_sequences_and_overrides_lose_their_power() {
        assert_eq!(clean("a\x1b[2Jb\u{202E}c\n", 20), "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}");
        assert_eq!(clean("a\u{061C}b\u{9B}c", 20), "a\u{FFFD}b\u{FFFD}c");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
        assert_eq!(clean_page("a\tb\n\x1b]0;c\x07\r\n"), "a\tb\n\u{FFFD}]0;c\u{FFFD}\u{FFFD}\n");
    }
}
