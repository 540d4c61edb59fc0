//! From a request's head as HTTP/1.1 writes it to the one of HTTP/2.
//!
//! The texts with holes of a program are written once, for either version.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use httparse::{EMPTY_HEADER, Status};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::http::FIELDS_MAX;

/// Fields that speak of one connection, or of how HTTP/1.1 frames a body (RFC 9113, 8.2.2). `te` may say one thing, [`TRAILERS`].
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"];
const TRAILERS: &[u8] = b"trailers";

/// What a path cannot hold (RFC 3986, 3.3 and 3.4), but for `%`: what is written that way already stays.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The request whose head is `text`; none if it is no head, or one that HTTP/2 has no form for.
#[must_use]
pub fn of_http1(text: &[u8], tls: bool) -> Option<Request<()>> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let Ok(Status::Complete(_)) = parsed.parse(text) else { return None };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.path_and_query = Some(path(parsed.path?)?);
    for field in parsed.headers.iter() {
        let is = |name: &&str| field.name.eq_ignore_ascii_case(name);
        if is(&"host") {
            uri.authority = Some(Authority::try_from(field.value).ok()?);
        } else if !HOP_BY_HOP.iter().any(is) || (is(&"te") && field.value == TRAILERS) {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
    }
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    Some(request)
}

/// A path; what the type refuses although servers take it is percent-encoded.
fn path(text: &str) -> Option<PathAndQuery> {
    PathAndQuery::try_from(text)
        .or_else(|_| PathAndQuery::try_from(utf8_percent_encode(text, NOT_IN_PATH).to_string()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        of_http1(text.as_bytes(), true)
            .map_or_else(|| "none".to_owned(), |r| format!("{} {} {:?}", r.method(), r.uri(), r.headers()))
    }

    #[test]
    fn who_takes_trailers_may_say_so() {
        let with = |te: &str| told(&format!("GET / HTTP/1.1\r\nHost: x\r\nTE: {te}\r\n\r\n"));
        assert_eq!(with("trailers"), r#"GET https://x/ {"te": "trailers"}"#);
        assert_eq!(with("trailers, gzip"), "GET https://x/ {}");
    }

    #[test]
    fn a_head_keeps_all_that_is_not_of_one_connection() {
        let heads = [
            "GET /a?b=%20c HTTP/1.1\r\nHost: shop.example:8443\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
            "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\nTE: gzip\r\nExpect: 100-continue\r\n\r\n",
            "GET /odd<`>{}|^\"\\ HTTP/1.1\r\nHost: [::1]\r\nCookie: a=b; c=d\r\n\r\n",
            "PURGE /caf\u{e9} HTTP/1.1\r\nHost: x\r\nX-Latin: \u{e9}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: not a host\r\n\r\n",
            "GET / HTTP/1.1\r\nHalf: of it",
        ];
        insta::assert_snapshot!(heads.map(told).join("\n"));
    }
}
