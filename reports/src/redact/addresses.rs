//! Addresses in prose: URLs, IP addresses and `host:port`, found by their form.
//!
//! A bare host name has no form of its own (`pool.db.wait` looks like one); it is found once it was met in a URL.

use std::net::{IpAddr, SocketAddr};

use super::names::Names;

/// Sort of their pseudonyms.
pub(super) const HOST: &str = "host";

/// `text` without addresses; each host has a pseudonym, user, port and query are gone.
pub(super) fn replace(text: &str, names: &mut Names) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_border).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out += &replace_word(word, names);
        let border = after.chars().next().map_or(0, char::len_utf8);
        out += &after[..border];
        rest = &after[border..];
    }
    out
}

fn is_border(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | ')' | '<' | '>' | '{' | '}' | ',' | ';' | '|')
}

fn replace_word(word: &str, names: &mut Names) -> String {
    if let Some((before, rest)) = word.split_once("://") {
        let scheme =
            before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next().unwrap_or_default();
        let lead = &before[..before.len() - scheme.len()];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let host = host_of(authority);
        let colon = if authority.ends_with(':') { ":" } else { "" };
        return format!("{lead}{scheme}://{}{colon}{path}", names.of(HOST, host));
    }
    let bare = word.trim_end_matches([':', '.']);
    let tail = &word[bare.len()..];
    let (lead, bare) = bare.rsplit_once('=').map_or(("", bare), |(a, b)| (&word[..=a.len()], b));
    let unbracketed = bare.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<SocketAddr>().is_ok() {
        return format!("{lead}{}{tail}", names.of(HOST, host_of(bare)));
    }
    // `::` alone is a mark of programs' texts, and `1.2` no address: IpAddr takes four parts only.
    if unbracketed.len() > 2 && unbracketed.parse::<IpAddr>().is_ok() {
        return format!("{lead}{}{tail}", names.of(HOST, unbracketed));
    }
    if let Some((host, port)) = bare.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && (host == "localhost" || host.contains('.'))
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    {
        return format!("{lead}{}{tail}", names.of(HOST, host));
    }
    word.to_owned()
}

/// The host of an authority: without user, password and port.
fn host_of(authority: &str) -> &str {
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_go_and_their_surroundings_stay() {
        let mut names = Names::default();
        let said = replace(
            "agent of shop at http://10.0.0.7:9090/probe?token=s3: 2 processes; postgres://me:pa55@db.corp.example/shop, [::1]:80, metrics=http://db.corp.example:1, peer 10.0.0.7 and db.corp.example:5432. pool.db.wait 1.5",
            &mut names,
        );
        assert_eq!(
            said,
            "agent of shop at http://host-1/probe 2 processes; postgres://host-2/shop, host-3, metrics=http://host-2, peer host-1 and host-2. pool.db.wait 1.5"
        );
        assert_eq!(names.replace_if("and db.corp.example alone", |_| true), "and host-2 alone");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,80}") {
            replace(&text, &mut Names::default());
        }

        #[test]
        fn no_ip_address_survives(a: [u8; 4], port: u16, before in "[a-z ]{0,9} ", after in "( [a-z ]{0,9})?") {
            let ip = std::net::Ipv4Addr::from(a).to_string();
            for text in [format!("{before}{ip}{after}"), format!("{before}{ip}:{port}{after}"), format!("{before}http://{ip}:{port}/{after}")] {
                let text = replace(&text, &mut Names::default());
                prop_assert!(!text.contains(&ip), "{}", text);
            }
        }
    }
}
