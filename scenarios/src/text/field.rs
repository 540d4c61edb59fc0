//! Header fields: which names and values they may have, and which of them dyno writes itself.
//!
//! Scenarios, quick runs and importers all go by these rules. Templates in a value are read elsewhere.

use super::template;
use crate::mistake::{Wrong, quoted};

/// Longest name, bytes.
const MAX_NAME: usize = 256;
/// Fields that the engine writes itself.
const OWN: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
];

/// A token of HTTP (RFC 9110, 5.6.2): a field's name, a cookie's, a subprotocol.
pub(crate) fn name(text: &str) -> Result<String, Wrong> {
    let good = !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if good {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("{} cannot stand in a header", quoted(text))).expected("letters, digits and `-`"))
}

/// The same of a field that a request may be given: none that dyno writes itself.
pub(crate) fn free_name(text: &str) -> Result<String, Wrong> {
    if is_own(text) {
        let wrong = Wrong::new(format!("{} is written by dyno itself", quoted(text)));
        return Err(wrong.expected("another header"));
    }
    name(text)
}

/// A value: one line of text.
pub(crate) fn value(text: &str) -> Result<String, Wrong> {
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(Wrong::new(format!("a header cannot hold {c:?}")).expected("one line of text"));
    }
    Ok(text.to_owned())
}

/// The same of a value without templates.
pub(crate) fn fixed_value(text: &str) -> Result<String, Wrong> {
    template::without_holes(text)?;
    value(text)
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_and_values_one_line() {
        let long = "a".repeat(MAX_NAME);
        for good in ["X-Room", "_a!#$%&'*+-.^`|~9", long.as_str()] {
            assert_eq!(free_name(good), Ok(good.to_owned()));
        }
        let longer = format!("{long}a");
        for bad in ["", "a b", "a:", "ä", "a\n", longer.as_str()] {
            assert!(name(bad).is_err(), "{bad}");
        }
        for good in ["", "a\tb", "Bearer ${token}", "ü"] {
            assert_eq!(value(good), Ok(good.to_owned()));
        }
        for bad in ["a\r\nb: c", "a\0", "\u{7f}"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
        assert!(fixed_value("a").is_ok() && fixed_value("${a}").is_err());
    }

    #[test]
    fn what_dyno_writes_itself_is_not_given_in_any_case() {
        for own in ["Host", "UPGRADE", "Sec-WebSocket-Key"] {
            assert!(name(own).is_ok(), "{own}");
            let told = format!("`{own}` is written by dyno itself, expected another header");
            assert_eq!(free_name(own).unwrap_err().sentence(), told);
        }
    }
}
