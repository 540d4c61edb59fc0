//! Regular expressions as scenarios write them.

use crate::mistake::{Wrong, quoted};

/// Largest compiled regular expression, bytes: the crate's own limit is ten times that.
const REGEX_BYTES: usize = 1 << 20;

/// A regular expression, as written; linear in the length of what it is matched with.
pub(crate) fn regex(text: &str) -> Result<String, Wrong> {
    match regex::bytes::RegexBuilder::new(text).size_limit(REGEX_BYTES).build() {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => {
            // The last line says what is wrong, those before draw it.
            let told = e.to_string();
            let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(Wrong::new(format!("{} is not a regular expression: {why}", quoted(text)))
                .expected("a pattern such as \"^joined [a-z]+$\""))
        }
    }
}
