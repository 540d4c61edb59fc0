//! The cookies of one session: what servers set, and what goes back by path.
//!
//! Owns RFC 6265 as far as one host needs it: `Path`, `Secure`, `Max-Age` and `Expires`; `Domain` means nothing where a session
//! talks to a single host. A jar is made when the first cookie comes, and bounded whatever a server sets.

use cookie::Cookie;
use timeline::clock::unix_ms;

/// Most cookies of a session; RFC 6265, 6.1 asks for 50 of a host.
const COUNT_MAX: usize = 50;
/// Longest cookie, and most bytes of all, names, values and paths: as much as servers accept in a head.
const BYTES_MAX: usize = 8 << 10;
const ONE_MAX: usize = 4 << 10;

/// A session's cookies, as they came: the oldest first.
#[derive(Debug, Default)]
pub struct Jar {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    name: Box<str>,
    value: Box<str>,
    path: Box<str>,
    /// Unix time, ms.
    until: Option<u64>,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.path.len()
    }

    /// Has it not expired at `now` (Unix time, ms)?
    fn lives(&self, now: u64) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Does it go to `path` (RFC 6265, 5.1.4)?
    fn goes_to(&self, path: &str) -> bool {
        path.strip_prefix(&*self.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'))
    }
}

impl Jar {
    /// Takes what a `Set-Cookie` says in an answer to a request for `path`. The oldest make room where it is too much.
    pub fn take(&mut self, set: &str, path: &str, tls: bool) {
        let Ok(cookie) = Cookie::parse(set) else { return };
        if (cookie.secure() == Some(true) && !tls) || cookie.name().is_empty() {
            return;
        }
        let asked = path.split(['?', '#']).next().unwrap_or("/");
        let usual = asked.rfind('/').map_or("/", |i| &asked[..i.max(1)]);
        let path = cookie.path().filter(|p| p.starts_with('/')).unwrap_or(usual);
        self.kept.retain(|k| *k.name != *cookie.name() || *k.path != *path);
        let now = unix_ms();
        let until = match (cookie.max_age(), cookie.expires_datetime()) {
            (Some(age), _) => {
                Some(now.saturating_add(age.whole_milliseconds().clamp(0, i128::from(u64::MAX)) as u64))
            }
            (None, Some(at)) => Some(u64::try_from(at.unix_timestamp()).unwrap_or(0).saturating_mul(1000)),
            (None, None) => None,
        };
        let new = Kept { name: cookie.name().into(), value: cookie.value().into(), path: path.into(), until };
        if until.is_some_and(|u| u <= now) || new.bytes() > ONE_MAX {
            return;
        }
        while self.kept.len() >= COUNT_MAX || self.bytes() + new.bytes() > BYTES_MAX {
            self.kept.remove(0);
        }
        self.kept.push(new);
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(Kept::bytes).sum()
    }

    /// The value of the cookie `name`, whatever its path; none once it has expired.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let now = unix_ms();
        self.kept.iter().rev().find(|k| *k.name == *name && k.lives(now)).map(|k| &*k.value)
    }

    /// Puts those that go with it into a whole head: behind the cookies that it has already, since a request has one such field
    /// (RFC 6265, 5.4), or else in front of the empty line.
    pub fn put_into(&self, head: &mut Vec<u8>) {
        let now = unix_ms();
        let path = path_of(head).split('?').next().unwrap_or("/").to_owned();
        let goes = |k: &&Kept| k.lives(now) && k.goes_to(&path);
        let mut going: Vec<_> = self.kept.iter().filter(goes).collect();
        // Longer paths first, then older ones (RFC 6265, 5.4).
        going.sort_by_key(|k| std::cmp::Reverse(k.path.len()));
        if going.is_empty() || !head.ends_with(b"\r\n\r\n") {
            return;
        }
        let given = end_of_given(head);
        head.truncate(head.len() - 2);
        let from = head.len();
        head.extend_from_slice(if given.is_some() { b"; " } else { b"Cookie: " });
        for (i, kept) in going.into_iter().enumerate() {
            head.extend_from_slice(if i > 0 { b"; " } else { b"" });
            head.extend_from_slice(kept.name.as_bytes());
            head.push(b'=');
            head.extend_from_slice(kept.value.as_bytes());
        }
        if let Some(end) = given {
            let added = head.len() - from;
            head[end..].rotate_right(added);
        } else {
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
    }
}

/// Where the value of a `Cookie` field ends that a head has already.
fn end_of_given(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"cookie:";
    let mut end = 0;
    for line in head.split_inclusive(|&b| b == b'\n') {
        end += line.len();
        if line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            return Some(end - line.len() + line.trim_ascii_end().len());
        }
    }
    None
}

/// The path and query in a request's first line.
#[must_use]
pub fn path_of(head: &[u8]) -> &str {
    head.split(|&b| b == b' ').nth(1).and_then(|path| std::str::from_utf8(path).ok()).unwrap_or("/")
}

/// The value that one `Set-Cookie` gives to `name`.
#[must_use]
pub fn value_in(set: &str, name: &str) -> Option<String> {
    let cookie = Cookie::parse(set).ok()?;
    (cookie.name() == name).then(|| cookie.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(jar: &Jar, path: &str) -> String {
        let mut head = format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes();
        jar.put_into(&mut head);
        let text = String::from_utf8(head).unwrap();
        assert!(text.ends_with("\r\n\r\n"));
        text.lines().find_map(|l| l.strip_prefix("Cookie: ")).unwrap_or("-").to_owned()
    }

    #[test]
    fn cookies_go_back_by_path_and_end_when_told() {
        let mut jar = Jar::default();
        jar.take("sid=1; Path=/; HttpOnly; Domain=other.example", "/login", false);
        jar.take("deep=2; Path=/a/b", "/", false);
        jar.take("own=3", "/a/page?x=/y", false);
        jar.take("safe=4; Secure; Path=/", "/", false);
        jar.take("late=5; Path=/; Expires=Wed, 01 Jan 2020 00:00:00 GMT", "/", false);
        assert_eq!(sent(&jar, "/"), "sid=1");
        assert_eq!(sent(&jar, "/a?q"), "own=3; sid=1");
        assert_eq!(sent(&jar, "/ab"), "sid=1");
        assert_eq!(sent(&jar, "/a/b/c"), "deep=2; own=3; sid=1");
        jar.take("sid=9; Path=/; Max-Age=60", "/", false);
        assert_eq!((sent(&jar, "/"), jar.get("deep")), ("sid=9".to_owned(), Some("2")));
        jar.take("sid=; Path=/; Max-Age=0", "/", false);
        assert_eq!(sent(&jar, "/"), "-");
        jar.take("safe=4; Secure; Path=/", "/", true);
        assert_eq!(sent(&jar, "/"), "safe=4");
    }

    #[test]
    fn cookies_join_those_that_the_scenario_gives() {
        let mut jar = Jar::default();
        jar.take("sid=1; Path=/", "/", false);
        jar.take("deep=2; Path=/a", "/", false);
        let mut head = b"GET /a HTTP/1.1\r\nHost: x\r\ncookie: own=3\r\nAccept: */*\r\n\r\n".to_vec();
        jar.put_into(&mut head);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "GET /a HTTP/1.1\r\nHost: x\r\ncookie: own=3; deep=2; sid=1\r\nAccept: */*\r\n\r\n"
        );
    }

    #[test]
    fn a_cookie_that_has_expired_since_it_was_set_is_neither_sent_nor_saved() {
        let mut jar = Jar::default();
        jar.take("sid=1; Path=/; Max-Age=60", "/", false);
        assert_eq!((sent(&jar, "/"), jar.get("sid")), ("sid=1".to_owned(), Some("1")));
        jar.kept[0].until = Some(unix_ms() - 1);
        assert_eq!((sent(&jar, "/"), jar.get("sid")), ("-".to_owned(), None));
    }

    #[test]
    fn a_jar_is_bounded_and_survives_nonsense() {
        let mut jar = Jar::default();
        for i in 0..10_000 {
            jar.take(&format!("n{i}={}; Path=/", "v".repeat(i % 6000)), "/", false);
            assert!(jar.kept.len() <= COUNT_MAX && jar.bytes() <= BYTES_MAX);
        }
        for set in
            ["", "=", ";", "a", "a=b; Max-Age=99999999999999999999", "a=b; Path=x", "\u{FFFD}=\u{FFFD}"]
        {
            jar.take(set, "", false);
            jar.take(set, "?", false);
        }
        sent(&jar, "/");
    }
}
