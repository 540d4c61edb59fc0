//! Forms: texts as `application/x-www-form-urlencoded` has them.

/// `text` as a name or value of a form.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b' ' => out.push('+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(b as char),
            _ => out += &format!("%{b:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_may_not_stand_in_a_form_is_encoded() {
        assert_eq!(super::encode("a b&c=ü*"), "a+b%26c%3D%C3%BC*");
    }
}
