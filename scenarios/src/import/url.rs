//! Addresses as recordings and descriptions hold them: origin, path, query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::text::form::encode;

/// An absolute address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// `http://host:port`, with `ws` read as `http`, in lower case, without a standard port or a user.
    pub(super) origin: String,
    /// Starting with `/`.
    pub(super) path: String,
    /// Without the `?`; none if there was none.
    pub(super) query: Option<String>,
}

impl Url {
    /// Reads an address of the web; none for `data:`, `blob:`, `chrome-extension:` and the like.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => ("http", ":80"),
            "https" | "wss" => ("https", ":443"),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let host = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
        let host = host.strip_suffix(port).unwrap_or(&host);
        if host.is_empty() {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Some(Self { origin: format!("{scheme}://{host}"), path, query })
    }
}

/// Undoes percent-encoding, and `+` where it stands for a space; what is not UTF-8 stays as it is.
pub(super) fn decode(text: &str, plus: bool) -> String {
    let spaced = if plus { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&spaced).decode_utf8().map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Names and values of a query or form, still encoded.
pub(super) fn fields(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    query.split('&').filter(|f| !f.is_empty()).map(|f| match f.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (f, None),
    })
}

/// Names and values as the text of a form.
pub(super) fn form_text(fields: &[(String, String)]) -> String {
    let all: Vec<String> = fields.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    all.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let read = |t: &str| Url::read(t).map(|u| format!("{} {} {:?}", u.origin, u.path, u.query));
        assert_eq!(read("HTTP://u:p@Shop.Local:80?x=1#y").unwrap(), "http://shop.local / Some(\"x=1\")");
        assert_eq!(read("wss://[::1]:8443/a%20b").unwrap(), "https://[::1]:8443 /a%20b None");
        for other in ["data:,x", "blob:http://a/b", "about:blank", "http://", "chrome-extension://x/y", "/a"]
        {
            assert_eq!(Url::read(other), None, "{other}");
        }
    }

    #[test]
    fn encoding_is_undone() {
        assert_eq!(decode("a+b%26%C3%BC%zz%", true), "a b&ü%zz%");
        assert_eq!(decode("a+b%FF", false), "a+b%FF");
        assert_eq!(decode("%+1", false), "%+1", "a sign is no digit");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let written = [pair("a b", "+49 171"), pair("ü", "%41&=")];
        let form = form_text(&written);
        assert_eq!(form, "a+b=%2B49+171&%C3%BC=%2541%26%3D");
        let read: Vec<_> = fields(&form).map(|(n, v)| (decode(n, true), decode(v.unwrap(), true))).collect();
        assert_eq!(read, written);
    }
}
