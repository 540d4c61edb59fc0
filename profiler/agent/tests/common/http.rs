//! Asking the endpoint.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::start::TOKEN;

/// A request with the token and its answer: status, head, body.
pub fn get(addr: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = ask(
        addr,
        &format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
        ),
    );
    (status, body)
}

/// A request as written and its answer, to the end of the connection.
pub fn ask(addr: SocketAddr, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).expect("the endpoint listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("20 s is no zero");
    stream.write_all(request.as_bytes()).expect("room in the socket");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head, answer[end..].to_vec())
}
