//! Redirects: where a `Location` leads, seen from a path of the target.
//!
//! Owns the decision what is the same origin; how often it is followed is the session's business.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use scenarios::plan::BaseUrl;

/// What cannot stand in a request line, beside all that is not ASCII.
const NOT_IN_LINE: &AsciiSet = &CONTROLS.add(b' ');

/// Is this a status whose `Location` is to be followed?
#[must_use]
pub const fn leads_on(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Does `method` become a `GET` without body (RFC 9110, 15.4)? `HEAD` stays what it is.
#[must_use]
pub fn drops_body(status: u16, method: &str) -> bool {
    match status {
        301 | 302 => method == "POST",
        303 => true,
        _ => false,
    }
}

/// The path and query to ask for next, fit for a request line; none if `location` leads to another origin.
#[must_use]
pub fn resolve(location: &str, from: &str, url: &BaseUrl) -> Option<String> {
    let location = location.trim().split('#').next().unwrap_or_default();
    let (authority, path) = if let Some(rest) = location.strip_prefix("//") {
        (Some(rest), "")
    } else if let Some((scheme, rest)) = location.split_once("://").filter(|(s, _)| !s.contains(['/', '?'])) {
        if !scheme.eq_ignore_ascii_case(url.scheme()) {
            return None;
        }
        (Some(rest), "")
    } else {
        (None, location)
    };
    let path = match authority {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            same(authority, url).then_some(path)?
        }
        // A scheme without an authority: `mailto:x`.
        None if path.find(':') < path.find(['/', '?']).or(Some(path.len())) && path.contains(':') => {
            return None;
        }
        None => path,
    };
    let (base, query) = from.split_once('?').map_or((from, None), |(p, q)| (p, Some(q)));
    let joined = match path.as_bytes().first() {
        Some(b'/') => path.to_owned(),
        Some(b'?') if authority.is_some() => format!("/{path}"),
        Some(b'?') => format!("{base}{path}"),
        Some(_) => format!("{}/{path}", base.rsplit_once('/').map_or("", |(folder, _)| folder)),
        None if authority.is_some() => "/".to_owned(),
        None => query.map_or_else(|| base.to_owned(), |q| format!("{base}?{q}")),
    };
    Some(utf8_percent_encode(&without_dots(&joined), NOT_IN_LINE).to_string())
}

fn same(authority: &str, url: &BaseUrl) -> bool {
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, Some(url.usual_port())),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case(&url.host) && port == Some(url.port)
}

/// Takes out `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(text: &str) -> String {
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_where_the_rfc_says() {
        let url = BaseUrl { tls: false, host: "shop.example".into(), port: 80, prefix: "/api".into() };
        let cases = [
            "/next?x=1#y",
            "next",
            "../up",
            "../../../top",
            "./",
            "?page=2",
            "",
            "http://shop.example/abs",
            "http://SHOP.example:80",
            "http://shop.example?q",
            "//shop.example/two",
            "http://shop.example:81/",
            "https://shop.example/",
            "http://evil.example/",
            "//evil.example",
            "mailto:me",
            "/a b\u{e9}\r\nX: y",
            "/colon:here",
            "http://shop.example@evil.example/",
        ];
        let told: Vec<_> = cases
            .iter()
            .map(|c| {
                format!("{c:?} {}", resolve(c, "/api/a/b?q=1", &url).unwrap_or_else(|| "elsewhere".into()))
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        "/next?x=1#y" /next?x=1
        "next" /api/a/next
        "../up" /api/up
        "../../../top" /top
        "./" /api/a/
        "?page=2" /api/a/b?page=2
        "" /api/a/b?q=1
        "http://shop.example/abs" /abs
        "http://SHOP.example:80" /
        "http://shop.example?q" /?q
        "//shop.example/two" /two
        "http://shop.example:81/" elsewhere
        "https://shop.example/" elsewhere
        "http://evil.example/" elsewhere
        "//evil.example" elsewhere
        "mailto:me" elsewhere
        "/a bé\r\nX: y" /a%20b%C3%A9%0D%0AX:%20y
        "/colon:here" /colon:here
        "http://shop.example@evil.example/" elsewhere
        "#);
    }
}
