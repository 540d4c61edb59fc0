//! Replies: the few bytes of Redis' protocol (RESP 2) that the source takes.
//!
//! Owns how a command is written, and when its answer is whole, wrong, or more than it may be.

use std::io::{Read, Write};
use std::net::TcpStream;

use timeline::MonoNs;

use super::{RedisError, unreachable};
use crate::sources::place::left;

/// Longest answer, bytes. `INFO` has 7 KB.
const MAX_ANSWER: usize = 1 << 20;
/// Longest line, bytes: errors have a sentence, lengths a few digits.
const MAX_LINE: usize = 128;
/// Most things in a list, and lists within lists.
const MAX_LIST: usize = 1_000;
const MAX_DEPTH: usize = 3;

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Text(String),
    Number(i64),
    List(Vec<Reply>),
}

/// Sends a command and returns its answer.
pub(super) fn command(line: &mut TcpStream, words: &[&str], deadline: MonoNs) -> Result<Reply, RedisError> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    left(deadline)
        .and_then(|left| line.set_write_timeout(Some(left)))
        .and_then(|()| line.write_all(&bytes))
        .map_err(|e| unreachable(&e))?;
    let mut got = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        if let Some(answer) = answer(&got)? {
            return Ok(answer);
        }
        let read = left(deadline).and_then(|left| line.set_read_timeout(Some(left)));
        match read.and_then(|()| line.read(&mut part)).map_err(|e| unreachable(&e))? {
            0 => return Err(RedisError::Unreachable("it hung up".to_owned())),
            n => got.extend_from_slice(&part[..n]),
        }
    }
}

/// The answer, if it is whole.
fn answer(got: &[u8]) -> Result<Option<Reply>, RedisError> {
    if got.len() > MAX_ANSWER {
        return Err(RedisError::TooLong);
    }
    Ok(whole(got, 0)?.map(|(reply, _)| reply))
}

/// The reply that `got` begins with, and what follows it: a line (`+`), an error (`-`), a number (`:`), a text with its length (`$`), or a
/// list with its own (`*`).
fn whole(got: &[u8], depth: usize) -> Result<Option<(Reply, &[u8])>, RedisError> {
    let Some(end) = got.windows(2).take(MAX_LINE).position(|w| w == b"\r\n") else {
        return if got.len() > MAX_LINE { Err(RedisError::NotRedis) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&got[..end]);
    let rest = &got[end + 2..];
    let (Some(kind), Some(said)) = (head.get(..1), head.get(1..)) else { return Err(RedisError::NotRedis) };
    let length = || said.parse::<usize>().map_err(|_| RedisError::NotRedis);
    match kind {
        "+" => Ok(Some((Reply::Text(said.to_owned()), rest))),
        // The first word only: what follows is the server's to choose, and might be what we have sent.
        "-" => {
            let word: String = said.chars().take_while(char::is_ascii_uppercase).take(24).collect();
            Err(RedisError::Refused(word))
        }
        ":" => {
            let number = said.parse().map_err(|_| RedisError::NotRedis)?;
            Ok(Some((Reply::Number(number), rest)))
        }
        "$" => {
            let length = length()?;
            if length > MAX_ANSWER - 256 {
                return Err(RedisError::TooLong);
            }
            let text = rest.get(..length).filter(|_| rest.len() >= length + 2);
            Ok(text.map(|t| (Reply::Text(String::from_utf8_lossy(t).into_owned()), &rest[length + 2..])))
        }
        "*" if depth < MAX_DEPTH => list(length()?, rest, depth),
        _ => Err(RedisError::NotRedis),
    }
}

fn list(length: usize, mut rest: &[u8], depth: usize) -> Result<Option<(Reply, &[u8])>, RedisError> {
    if length > MAX_LIST {
        return Err(RedisError::TooLong);
    }
    let mut all = Vec::new();
    for _ in 0..length {
        let Some((reply, after)) = whole(rest, depth + 1)? else { return Ok(None) };
        all.push(reply);
        rest = after;
    }
    Ok(Some((Reply::List(all), rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_whole_and_never_too_long() {
        let text = |t: &str| Reply::Text(t.to_owned());
        assert_eq!(answer(b"+OK\r\n"), Ok(Some(text("OK"))));
        assert_eq!(answer(b"$5\r\nab"), Ok(None));
        assert_eq!(answer(b"$2\r\nab\r\n"), Ok(Some(text("ab"))));
        assert_eq!(
            answer(b"-WRONGPASS hunter2 is not it\r\n"),
            Err(RedisError::Refused("WRONGPASS".to_owned()))
        );
        assert_eq!(answer(b"HTTP/1.1 400 Bad Request\r\n"), Err(RedisError::NotRedis));
        assert_eq!(answer(b"$99999999999\r\n"), Err(RedisError::TooLong));
        assert_eq!(answer(b"$-7\r\n"), Err(RedisError::NotRedis));
        assert_eq!(answer(&[b'x'; 300]), Err(RedisError::NotRedis));
        assert_eq!(answer("€\r\n".as_bytes()), Err(RedisError::NotRedis));
    }

    #[test]
    fn lists_are_taken_whole_and_not_without_end() {
        let lists = b"*2\r\n*2\r\n+a\r\n:-7\r\n*0\r\n";
        let inner = Reply::List(vec![Reply::Text("a".to_owned()), Reply::Number(-7)]);
        assert_eq!(answer(lists), Ok(Some(Reply::List(vec![inner, Reply::List(Vec::new())]))));
        for cut in 0..lists.len() {
            assert_eq!(answer(&lists[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(answer(&b"*1\r\n".repeat(9)), Err(RedisError::NotRedis));
        assert_eq!(answer(b"*1001\r\n"), Err(RedisError::TooLong));
        assert_eq!(answer(b"*-1\r\n"), Err(RedisError::NotRedis));
    }
}
