//! A server that does what the path asks it to, good or bad; a thread for each connection.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test file uses its own part of this"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What to do with a connection: the head of the request, and the stream.
pub type Act = fn(path: &str, head: &str, stream: &mut TcpStream) -> std::io::Result<bool>;

/// Serves on a port of its own until the test's process ends.
pub fn serve(act: Act) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let act = Arc::new(act);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = Arc::clone(&act);
            thread::spawn(move || converse(stream, *act));
        }
    });
    address
}

fn converse(mut stream: TcpStream, act: Act) {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    while let Some(head) = read_head(&mut stream) {
        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
        if !matches!(act(&path, &head, &mut stream), Ok(true)) {
            return;
        }
    }
}

/// Reads a request's head, and its body if it has one.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut one) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut one).ok()? == 0 {
            return None;
        }
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).ok()?;
    if let Some(length) = field(&head, "Content-Length").and_then(|n| n.parse::<usize>().ok()) {
        stream.read_exact(&mut vec![0; length]).ok()?;
    }
    Some(head)
}

/// Waits until this is so; says no where it has not come to be, however slow the machine.
pub fn until(mut is_so: impl FnMut() -> bool) -> bool {
    for _ in 0..6_000 {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Reads until the client has hung up, and answers nothing.
pub fn idle(stream: &mut TcpStream) -> std::io::Result<bool> {
    while stream.read(&mut [0; 256])? > 0 {}
    Ok(false)
}

pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
}

pub fn ok(stream: &mut TcpStream, body: &str) -> std::io::Result<bool> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    Ok(true)
}

/// Makes the end of the connection a reset.
pub fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
    let _ = stream.shutdown(Shutdown::Read);
}

/// The answer that agrees to a WebSocket.
pub fn upgraded(head: &str) -> String {
    let accept = loadgen::ws::handshake::accept(field(head, "Sec-WebSocket-Key").unwrap_or(""));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

pub fn upgrade(head: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(upgraded(head).as_bytes())
}

/// A client's frame: opcode and unmasked payload.
pub fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    assert_eq!(head[1] & 0x80, 0x80, "a client must mask");
    let length = match head[1] & 0x7F {
        126 => {
            let mut wide = [0; 2];
            stream.read_exact(&mut wide)?;
            usize::from(u16::from_be_bytes(wide))
        }
        n => usize::from(n),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    loadgen::ws::encode::apply(&mut payload, mask);
    Ok((head[0] & 0x0F, payload))
}

/// A server's frame, of fewer than 126 bytes.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

/// Hands every frame (its kind and what is in it) to `hear` until the client closes, which is answered.
pub fn until_closed(
    stream: &mut TcpStream,
    mut hear: impl FnMut(&mut TcpStream, u8, &[u8]) -> std::io::Result<()>,
) -> std::io::Result<bool> {
    loop {
        match read_frame(stream)? {
            (8, payload) => {
                stream.write_all(&frame(0x88, &payload))?;
                return Ok(false);
            }
            (kind, payload) => hear(stream, kind, &payload)?,
        }
    }
}
