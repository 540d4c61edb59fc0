//! What is asked for: the head of one HTTP/1.1 request.
//!
//! Owns how long it may be, and what is understood of a watcher's. Whether that is granted is left to `watchers`; what is asked of the
//! metrics page, to `live`.

use std::io::{self, ErrorKind, Read};

use super::PATH;

/// Longest head, bytes; Prometheus sends some three hundred.
const LONGEST_HEAD: usize = 8 << 10;
/// Most headers in it; browsers send some twenty, and proxies add some.
const HEADERS: usize = 64;

pub(super) enum Asked {
    /// The other side hung up: somebody only looked whether the port is open.
    Nothing,
    Recording {
        token: String,
    },
    Else,
}

pub(super) fn request(line: &mut impl Read) -> io::Result<Asked> {
    Ok(head(line, asked)?.unwrap_or(Asked::Nothing))
}

/// Reads a whole head; gives what `asked` makes of it, and none if the other side hung up before it sent anything.
///
/// # Errors
/// What `line` says, or what is wrong with the head: it is cut off, too long, or no HTTP/1.
pub fn head<T>(
    line: &mut impl Read,
    asked: impl FnOnce(&httparse::Request<'_, '_>) -> T,
) -> io::Result<Option<T>> {
    let mut head = Vec::new();
    let mut part = [0; 512];
    loop {
        let read = line.read(&mut part)?;
        if read == 0 {
            let nothing = head.is_empty();
            return if nothing { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        head.extend_from_slice(&part[..read]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(_)) => return Ok(Some(asked(&parsed))),
            Ok(httparse::Status::Partial) if head.len() < LONGEST_HEAD => {}
            Ok(httparse::Status::Partial) => return Err(io::Error::other("it is too long")),
            Err(e) => return Err(io::Error::other(e.to_string())),
        }
    }
}

fn asked(request: &httparse::Request<'_, '_>) -> Asked {
    if request.method != Some("GET") || request.path != Some(PATH) {
        return Asked::Else;
    }
    let header = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("authorization"));
    let value = header.and_then(|h| std::str::from_utf8(h.value).ok()).unwrap_or_default();
    Asked::Recording { token: value.strip_prefix("Bearer ").unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked in `text`, which comes in two parts.
    fn read(text: &str) -> io::Result<Asked> {
        let (first, second) = text.as_bytes().split_at(text.len() / 2);
        request(&mut first.chain(second))
    }

    #[test]
    fn only_whole_requests_of_bounded_length_are_understood() {
        let get = format!("GET {PATH} HTTP/1.1\r\nauthorization: Bearer abc\r\n\r\n");
        assert!(matches!(read(&get), Ok(Asked::Recording { token }) if token == "abc"));
        let bare = format!("GET {PATH} HTTP/1.1\r\n\r\n");
        assert!(matches!(read(&bare), Ok(Asked::Recording { token }) if token.is_empty()));
        assert!(matches!(read("GET / HTTP/1.1\r\n\r\n"), Ok(Asked::Else)));
        assert!(matches!(read(""), Ok(Asked::Nothing)));
        assert!(read("GET / HTTP/1.1\r\n").is_err_and(|e| e.kind() == ErrorKind::UnexpectedEof));
        let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(LONGEST_HEAD));
        assert!(read(&long).is_err_and(|e| e.to_string() == "it is too long"));
    }
}
