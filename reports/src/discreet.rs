//! What is left out of texts that others read: statements and addresses.
//!
//! Owns the one rule by which text becomes fit for a place that strangers may see (a CI server's pages, its logs):
//! a statement becomes `statement 1a2b`, the same everywhere, and an address becomes `address`. Step names, routes
//! and cache keys stay: without them a finding says nothing. It goes by how text looks, so a host's bare name without
//! a port stays, unless it is the target's.

use serde_json::Value;

use crate::summary::Summary;

/// Words with which a statement begins.
const VERBS: [&str; 12] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "BEGIN", "COPY", "CALL",
    "MERGE",
];
/// What stands for an address.
const ADDRESS: &str = "address";

/// The summary without statements and addresses; its figures are the same.
#[must_use]
pub fn summary(s: &Summary) -> Summary {
    let host = s.target.url.split_once("://").map_or("", |(_, rest)| host_of(rest));
    let Ok(mut value) = serde_json::to_value(s) else { unreachable!("a summary is plain data") };
    walk(&mut value, host);
    match serde_json::from_value(value) {
        Ok(summary) => summary,
        Err(e) => unreachable!("only texts were changed: {e}"),
    }
}

fn walk(value: &mut Value, host: &str) {
    match value {
        Value::String(s) => {
            *s = text(s);
            if !host.is_empty() && host.len() > 2 {
                *s = s.replace(host, ADDRESS);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|v| walk(v, host)),
        Value::Object(all) => all.values_mut().for_each(|v| walk(v, host)),
        _ => {}
    }
}

/// `text` without statements and addresses.
#[must_use]
pub fn text(text: &str) -> String {
    if is_statement(text) {
        return statement(text);
    }
    // Statements stand between backticks, the last of them perhaps cut off.
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split('`').enumerate() {
        if i > 0 {
            out.push('`');
        }
        match is_statement(part) {
            true => out += &statement(part),
            false => out += &without_addresses(part),
        }
    }
    out
}

fn is_statement(text: &str) -> bool {
    let mut words = text.trim_start().splitn(2, char::is_whitespace);
    let first = words.next().unwrap_or_default();
    // Written as fingerprints are; "delete the index" is advice.
    VERBS.contains(&first) && words.next().is_some()
}

/// The same statement has the same name in every text and every run.
fn statement(text: &str) -> String {
    let hash = text.trim().bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("statement {:04x}", (hash >> 16) ^ (hash & 0xffff))
}

fn without_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let mut length = rest.find(is_space).unwrap_or(rest.len());
        if rest[..length].contains("://") {
            // Its query may hold anything.
            length = rest.find(ends_url).unwrap_or(rest.len());
        }
        out += &word(&rest[..length]);
        let gap = rest[length..].find(|c| !is_space(c)).map_or(rest.len(), |i| length + i);
        out += &rest[length..gap];
        rest = &rest[gap..];
    }
    out
}

/// What may stand around an address in a sentence or a `key=value` line.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\'' | '=' | '<' | '>' | '|')
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ')' | '|')
}

fn word(word: &str) -> String {
    let (body, end) = word.split_at(word.trim_end_matches(['.', ',', ';', ':', '!', '?']).len());
    if let Some((scheme, rest)) = body.split_once("://") {
        let path = rest.find('/').map_or("", |i| &rest[i..]);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        return format!("{scheme}://{ADDRESS}{path}{end}");
    }
    let host = host_of(body);
    let port = body[host.len()..].strip_prefix(':');
    let has_port = port.is_some_and(|p| (2..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    let named = host.contains('.') && host.contains(|c: char| c.is_ascii_alphabetic()) || host == "localhost";
    let is_address = is_ip(host) && (port.is_none() || has_port) || named && has_port;
    if is_address { format!("{ADDRESS}{end}") } else { word.to_owned() }
}

/// The host of `host:port/path`, `user@host`, `[::1]:80`.
fn host_of(text: &str) -> &str {
    let text = text.split('/').next().unwrap_or_default();
    let text = text.rsplit('@').next().unwrap_or_default();
    match text.find(']') {
        Some(end) if text.starts_with('[') => &text[..=end],
        _ => text.split(':').next().unwrap_or_default(),
    }
}

fn is_ip(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn addresses_and_statements_go_and_the_rest_stays() {
        let said = [
            "`SELECT id FROM t WHERE c = ?` reads 100k rows since 00:12, 19.7 ms each",
            "`SELECT id FROM t WHERE c = ?` and `SELECT id FROM u WHERE c =…",
            "SELECT id FROM t WHERE c = ?",
            "DELETE the index",
            "708 loads of key product:7 at 00:20",
            "node at 127.0.0.1:9229, and 10.0.0.7.",
            "target=http://user:pass@shop.internal:8080/products?token=x phase=peak",
            "redis://cache.internal:6379 is full (shop.internal:5432)",
            "[::1]:80 refused; http://[::1]:80",
            "pool.db.wait p99 < 5ms for /products",
            "localhost:3000 and 2026-11-23T06:45:01Z",
        ];
        let read: Vec<String> = said.iter().map(|s| format!("{s}\n  {}", text(s))).collect();
        insta::assert_snapshot!(read.join("\n"));
    }

    #[test]
    fn figures_are_the_same_and_the_target_is_nowhere() {
        let mut open = fixture::flash_sale().summary();
        open.target.url = "http://shop.internal:8080/v1".to_owned();
        open.notes.push("the resolver of shop.internal was slow".to_owned());
        let s = summary(&open);
        assert_eq!((s.total, &s.lanes, s.gates.len()), (open.total, &open.lanes, open.gates.len()));
        let json =
            serde_json::to_string(&summary(&fixture::flash_sale().summary())).unwrap() + &s.notes.join(" ");
        assert!(!json.contains("shop.internal") && !json.contains("127.0.0.1"), "{json}");
        assert_eq!(s.target.url, "http://address/v1");
    }
}
