//! Addresses in prose: URLs, IP addresses and `host:port`, found by their form.
//!
//! The one finder of them: [`crate::discreet`] puts one word for all, [`crate::redact`] a pseudonym for each. It hides rather too much:
//! of a URL user, port, query and fragment go as well. What stays: times (`10:45`), paths of Rust (`a::b`), lanes (`pool.db.wait`), places
//! in scripts (`shop.js:17`). A bare host name has no form of its own; who has met it in a URL looks for it.

use std::net::IpAddr;

/// Ends of names of script files: `server.js:17` is a place in one, and none of them is a domain.
const SCRIPTS: [&str; 7] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "tsx"];
/// Most digits of a port.
const PORT_DIGITS: usize = 5;
/// Fewest colons by which `fe80:a:b::c` is an address without a single digit of ten; `a::b` is a path of Rust.
const COLONS: usize = 3;

/// `text` with what `name` says for each host in the place of its address; a path behind the address stays.
pub(crate) fn replace(text: &str, mut name: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let gap = rest.find(|c| !is_border(c)).unwrap_or(rest.len());
        out += &rest[..gap];
        rest = &rest[gap..];
        let word = &rest[..rest.find(is_border).unwrap_or(rest.len())];
        let length = if word.contains("://") {
            url(rest, &mut out, &mut name)
        } else if plain(word, &mut out, &mut name) && word.contains('?') {
            rest.find(ends_url).unwrap_or(rest.len()) // its query, which may hold borders
        } else {
            word.len()
        };
        rest = &rest[length..];
    }
    out
}

/// What may stand around an address in a sentence, a list or a `key=value` line.
pub(crate) fn is_border(c: char) -> bool {
    ends_url(c) || matches!(c, ',' | ';' | '(' | '=' | '{')
}

/// Where a URL ends at the latest: its query may hold anything else.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')' | '}' | '|')
}

/// Marks of a sentence that are no part of what they follow.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '!' | '?')
}

/// The URL at the start of `text`, perhaps with a few letters in front; gives its length.
fn url(text: &str, out: &mut String, name: &mut impl FnMut(&str) -> String) -> usize {
    let start = text.find("://").map_or(0, |i| scheme_start(&text[..i]));
    let (lead, text) = text.split_at(start);
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let mut end = rest.find(ends_url).unwrap_or(rest.len());
    let query = rest[..end].find(['?', '#']);
    // The next URL of a list; inside of a query it is hidden with that.
    if let Some(i) = rest[..query.unwrap_or(end)].find("://") {
        end = scheme_start(&rest[..i]);
    }
    let whole = &rest[..end];
    let body = whole.trim_end_matches(is_mark);
    // Of a query nothing stays but the last mark, which may be the sentence's.
    let marks = if query.is_some() {
        &whole[body.len().max(whole.len().saturating_sub(1))..]
    } else {
        &whole[body.len()..]
    };
    let path_from = body.find(['/', '?', '#', '\\']).unwrap_or(body.len());
    let path = body[path_from..].split(['?', '#']).next().unwrap_or_default();
    let host = host_of(&body[..path_from]);
    plain(lead, out, name);
    let named = if host.is_empty() { String::new() } else { name(host) };
    *out += &format!("{scheme}://{named}");
    segments(path, out, name);
    *out += marks;
    start + scheme.len() + "://".len() + end
}

/// Where the scheme begins at the end of `before`.
fn scheme_start(before: &str) -> usize {
    before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')).len()
}

/// A word that is no URL: `10.0.0.7`, `[::1]:80`, `me@shop.internal:8080/products`. Says whether it begins with an address.
fn plain(word: &str, out: &mut String, name: &mut impl FnMut(&str) -> String) -> bool {
    let body = word.trim_end_matches(is_mark);
    let marks = &word[body.len()..];
    // A bracket of a list is no part of an address: `[10.0.0.7`, `10.0.0.8]`.
    let bracketed = body.contains('[') == body.contains(']');
    let (open, body) = match body.strip_prefix('[') {
        Some(inner) if !bracketed => ("[", inner),
        _ => ("", body),
    };
    let (body, close) = match body.strip_suffix(']') {
        Some(inner) if !bracketed => (inner, "]"),
        _ => (body, ""),
    };
    let path_from = body.find(['/', '?', '#']).unwrap_or(body.len());
    let (authority, path) = body.split_at(path_from);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let Some(host) = address(authority) else {
        segments(word, out, name);
        return false;
    };
    *out += &format!("{open}{}", name(host));
    segments(path, out, name);
    *out += &format!("{close}{marks}");
    true
}

/// A path, or whatever has `/` in it, without IP addresses among its parts.
fn segments(path: &str, out: &mut String, name: &mut impl FnMut(&str) -> String) {
    for (i, part) in path.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        match address(part).filter(|host| is_ip(host)) {
            Some(host) => *out += &name(host),
            None => *out += part,
        }
    }
}

/// The host of an authority without a scheme, if it is one.
fn address(authority: &str) -> Option<&str> {
    let after = authority.rsplit('@').next().unwrap_or_default();
    let bare = after.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(after);
    if is_ip(bare) {
        return Some(bare);
    }
    let host = host_of(authority);
    // Of `[::1]:80` the host stands between brackets.
    let port = after.rsplit_once(':').map(|(_, port)| port);
    let has_port = port.is_some_and(is_port);
    let user = after.len() < authority.len();
    let is_address = is_ip(host) && has_port || is_named(host) && (has_port || user);
    is_address.then_some(host)
}

/// Digits, as many as a port has.
pub(crate) fn is_port(text: &str) -> bool {
    (1..=PORT_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Has it the form of a host by itself, without a port?
pub(crate) fn is_host(text: &str) -> bool {
    is_ip(text) || is_named(text)
}

/// The host of an authority: without user, password and port.
pub(crate) fn host_of(authority: &str) -> &str {
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_ip(host: &str) -> bool {
    match host.split('%').next().unwrap_or_default().parse() {
        Ok(IpAddr::V4(_)) => true,
        Ok(IpAddr::V6(_)) => {
            let colons = host.bytes().filter(|b| *b == b':').count();
            host.contains(|c: char| c.is_ascii_digit()) || colons >= COLONS
        }
        Err(_) => false,
    }
}

/// `localhost`, `shop.internal`; not `1.5`, not `shop.js`.
fn is_named(host: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let last = host.rsplit_once('.').map(|(_, last)| last);
    host == "localhost"
        || host.chars().all(plain)
            && last.is_some_and(|l| l.contains(char::is_alphabetic) && !SCRIPTS.contains(&l))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hidden(text: &str) -> String {
        replace(text, |_| "address".to_owned())
    }

    #[test]
    fn addresses_go_and_their_surroundings_stay() {
        let said = [
            "node at 127.0.0.1:9229, and 10.0.0.7.",
            "agent of shop at http://10.0.0.7:9090/probe?token=s3: 2 processes",
            "target=http://user:pass@shop.internal:8080/products?token=x,y;z phase=peak",
            "redis://cache.internal:6379 is full (shop.internal:5432)",
            "postgres://me:pa55@db.corp.example/shop, [::1]:80, metrics=http://db.corp.example:1",
            "mongodb://h1:27017,h2:27017/shop http://a:1,http://b:2; http://a/x?to=http://b/y!",
            "refused: 10.0.0.7:8080/products?token=x, [10.0.0.1, 10.0.0.2], fe80::1%eth0 and 2001:db8::7",
            "me:pa55@db.corp.example, ü@ü.example:80 and me@corp.example",
            "`http://shop.internal` {\"url\":\"https://shop.internal/x\"} file:///srv/shop unix:///run/shop",
            "localhost:3000/x for shop.k8s:80",
        ];
        let read: Vec<String> = said.iter().map(|s| format!("{s}\n  {}", hidden(s))).collect();
        insta::assert_snapshot!(read.join("\n"));
    }

    #[test]
    fn what_only_looks_like_an_address_stays() {
        for text in [
            "reads 100k rows since 00:12, 19.7 ms each; 10:45, 1:2:3",
            "a::b::c, std::io::Error, a::b, Vec::<u8>, ::",
            "pool.db.wait p99 < 5ms for /products",
            "2026-11-23T06:45:01Z key product:7 at 00:20",
            "hash (server.js:120), login (shop/login.ts:7), main (src/main.rs:12)",
            "lodash@4.17.21 of shop-0@2, v1.2:80",
            "localhost, 1.5, 1.2.3, and.so.on: ok",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,80}", odd in "[a-zé:/@.,?#\\[\\]0-9 ]{0,40}") {
            hidden(&text);
            hidden(&odd);
        }

        #[test]
        fn no_ip_address_survives(a: [u8; 4], port: u16, before in "[a-z ]{0,9} ", after in "( [a-z ]{0,9})?") {
            let ip = std::net::Ipv4Addr::from(a).to_string();
            for text in [
                format!("{before}{ip}{after}"),
                format!("{before}{ip}:{port}{after}"),
                format!("{before}http://{ip}:{port}/{after}"),
                format!("{before}me@{ip}:{port}/x{after}"),
                format!("{before}x={ip},{ip};[{ip}]{after}"),
                format!("{before}{ip}/{ip} /to/{ip} http://x/{ip}:{port}/y{after}"),
            ] {
                let text = hidden(&text);
                prop_assert!(!text.contains(&ip), "{}", text);
            }
        }
    }
}
