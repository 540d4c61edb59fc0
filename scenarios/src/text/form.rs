//! Forms: texts as `application/x-www-form-urlencoded` has them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is percent-encoded: all but letters, digits, `*-._`, and the space, which becomes `+`.
const CODES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// `text` as a name or value of a form.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, CODES).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_may_not_stand_in_a_form_is_encoded() {
        assert_eq!(super::encode("a b&c=ü*+-._~\n"), "a+b%26c%3D%C3%BC*%2B-._%7E%0A");
    }
}
