//! Addresses of targets: `bundled`, or `http://host:port/prefix`, or the same with `https`.

use percent_encoding::percent_encode_byte;

use crate::mistake::{Wrong, quoted};
use crate::plan::{BaseUrl, Target};
use crate::text::template;

const LOOK: &str = "\"bundled\" or an address such as \"http://127.0.0.1:3000\"";

/// What `[target] url` and `--target` say.
pub(crate) fn target(text: &str) -> Result<Target, Wrong> {
    if text == "bundled" {
        return Ok(Target::Bundled);
    }
    template::without_holes(text)?;
    let (base, rest) = split(text)?;
    if rest.contains(['?', '#']) {
        return Err(Wrong::new(format!("{} has a query", quoted(text)))
            .expected(LOOK)
            .help("paths and queries stand in the steps; a target has at most a path prefix"));
    }
    if let Some(wrong) = not_in_path(rest) {
        return Err(wrong);
    }
    Ok(Target::Url(BaseUrl { prefix: rest.trim_end_matches('/').to_owned(), ..base }))
}

/// An address with path and query: the target it names, and the path (at least `/`).
pub(crate) fn target_and_path(text: &str) -> Result<(BaseUrl, String), Wrong> {
    let (base, rest) = split(text)?;
    let path = match rest.split_once('#').map_or(rest, |(path, _)| path) {
        "" => "/".to_owned(),
        path if path.starts_with('?') => format!("/{path}"),
        path => path.to_owned(),
    };
    Ok((base, path))
}

/// What is wrong with a path, if anything: a request line holds printable ASCII alone.
pub(crate) fn not_in_path(text: &str) -> Option<Wrong> {
    let c = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#')?;
    let written: String = c.to_string().bytes().map(percent_encode_byte).collect();
    let wrong = Wrong::new(format!("a path cannot hold {c:?}")).expected("printable ASCII");
    Some(wrong.help(format!("it is written {written}")))
}

fn bad(text: &str) -> Wrong {
    let wrong = Wrong::new(format!("{} is not a target", quoted(text))).expected(LOOK);
    match crate::mistake::closest(text, ["bundled"]) {
        Some(name) => wrong.help(format!("did you mean \"{name}\"?")),
        None if !text.contains("://") && text.contains([':', '.']) => {
            wrong.help(format!("did you mean \"{}\"?", timeline::text::clean(&in_full(text), 80)))
        }
        None => wrong,
    }
}

/// An address without scheme, with the one that is meant. A port alone names no host; on this machine is meant.
pub(crate) fn in_full(text: &str) -> String {
    format!("http://{}{text}", if text.starts_with(':') { "127.0.0.1" } else { "" })
}

fn split(text: &str) -> Result<(BaseUrl, &str), Wrong> {
    let scheme = |name: &str| {
        let (scheme, rest) = text.split_once("://")?;
        scheme.eq_ignore_ascii_case(name).then_some(rest)
    };
    let (tls, rest) = match (scheme("http"), scheme("https")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(other_scheme(text)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(Wrong::new("the target's address holds a user name")
            .expected("an address without user and password")
            .help("send an `Authorization` header; [target] env keeps its value out of the file"));
    }
    let (host, port) = host_and_port(authority, if tls { "443" } else { "80" }).ok_or_else(|| bad(text))?;
    Ok((BaseUrl { tls, host, port, prefix: String::new() }, rest))
}

/// An address of a scheme that is not spoken here.
fn other_scheme(text: &str) -> Wrong {
    let Some((scheme, host)) = text.split_once("://") else { return bad(text) };
    let base = if scheme.eq_ignore_ascii_case("wss") { "https" } else { "http" };
    Wrong::new(format!("{} is not a scheme that dyno speaks", quoted(scheme)))
        .expected(LOOK)
        .help(format!("WebSockets use the same address: \"{base}://{}\"", timeline::text::clean(host, 60)))
}

/// A host's name or address, if `text` is nothing else.
pub(crate) fn host(text: &str) -> Option<&str> {
    let named = !text.is_empty() && text.len() <= 253;
    (named && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))).then_some(text)
}

fn host_and_port(authority: &str, usual: &str) -> Option<(String, u16)> {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (host, tail) = inner.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, tail.strip_prefix(':').or_else(|| tail.is_empty().then_some(usual))?)
    } else {
        authority.split_once(':').unwrap_or((authority, usual))
    };
    let named = host.contains(':') || host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let port = port.chars().all(|c| c.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten()?;
    (!host.is_empty() && host.len() <= 253 && named && port > 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, prefix: &str) -> Result<Target, Wrong> {
        Ok(Target::Url(BaseUrl { tls: port == 443, host: host.into(), port, prefix: prefix.into() }))
    }

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(target("bundled"), Ok(Target::Bundled));
        assert_eq!(target("http://127.0.0.1:3000"), url("127.0.0.1", 3000, ""));
        assert_eq!(target("http://shop.local/api/"), url("shop.local", 80, "/api"));
        assert_eq!(target("http://[::1]:8080/"), url("::1", 8080, ""));
        assert_eq!(target("https://shop.local/"), url("shop.local", 443, ""));
        assert_eq!(target("HTTPS://[::1]"), url("::1", 443, ""));
        for text in [
            "",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://a:+1",
            "http://[x]:1",
            "http://a b",
            "ftp://a",
            "http://a?b",
            "http://u:p@a",
            "http://ä:1",
            "http://a/ä",
            "http://a/b c",
            "http://a/${b}",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_with_its_port() {
        for (text, shown) in [
            ("http://shop.local/api/", "http://shop.local:80/api"),
            ("HTTPS://[::1]", "https://[::1]:443"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ] {
            let Ok(Target::Url(url)) = target(text) else { panic!("{text}") };
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn quick_addresses_keep_their_path() {
        let path = |text| target_and_path(text).map(|(_, path)| path);
        assert_eq!(path("http://a:1"), Ok("/".into()));
        assert_eq!(path("http://a:1?x=1"), Ok("/?x=1".into()));
        assert_eq!(path("http://a:1/b/c?x=1#top"), Ok("/b/c?x=1".into()));
    }

    #[test]
    fn an_address_without_scheme_or_host_is_told_with_both() {
        for (text, meant) in [
            (":3000", "http://127.0.0.1:3000"),
            (":3000/cart", "http://127.0.0.1:3000/cart"),
            ("shop.local:3000", "http://shop.local:3000"),
        ] {
            let told = target(text).unwrap_err().at(None).to_string();
            assert!(told.ends_with(&format!("did you mean \"{meant}\"?")), "{told}");
            assert!(target(meant).is_ok(), "{meant}");
        }
    }

    #[test]
    fn a_websocket_s_scheme_is_told_as_the_one_to_write() {
        let told = target("WSS://shop.example").unwrap_err();
        insta::assert_snapshot!(told.sentence());
    }
}
