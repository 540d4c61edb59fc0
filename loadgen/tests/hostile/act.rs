//! What the server does, by path. Each ends by itself when the client has gone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use super::server::{frame, ok, read_frame, reset, upgrade};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// Time for what was sent to arrive before the connection goes.
const ARRIVE: Duration = Duration::from_millis(20);
/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(50);
/// Longer than any step may take.
const SILENCE: Duration = Duration::from_secs(2);

pub fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    match path {
        "/ok" => return ok(s, "{}"),
        "/twice" => {
            s.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
            )?;
            return Ok(true);
        }
        _ if path.starts_with("/sse-") => events(path, s)?,
        _ if path.starts_with("/ws-") => websocket(path, head, s)?,
        _ if path.starts_with("/endless") || path == "/interim-flood" => endless(path, s)?,
        _ if path.starts_with("/reset") => {
            s.write_all(begun(path))?;
            sleep(ARRIVE);
            reset(s);
        }
        "/never" => sleep(SILENCE),
        "/half-close-silent" => half_close(s, b"")?,
        "/half-close-after-answer" => half_close(s, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
        "/drip-status" => drip(s, b"", OK)?,
        "/drip-body" => drip(s, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x")?,
        "/drip-chunks" => drip(s, CHUNKED, b"1\r\nx\r\n")?,
        _ => {
            s.write_all(fixed(path))?;
            // Read at leisure; what follows is the end of the stream.
            sleep(ARRIVE);
        }
    }
    Ok(false)
}

/// How far an answer came before the reset.
fn begun(path: &str) -> &'static [u8] {
    match path {
        "/reset-in-status" => b"HTTP/1.",
        "/reset-in-fields" => b"HTTP/1.1 200 OK\r\nContent-",
        "/reset-in-chunk-size" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1",
        _ => b"",
    }
}

fn fixed(path: &str) -> &'static [u8] {
    match path {
        "/close-in-trailer" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "/long" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger than that",
        "/length-overflow" => b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\nx",
        "/length-list" => b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx",
        "/length-hex" => b"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\nx",
        "/length-and-chunks" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
        }
        "/chunk-overflow" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx",
        "/chunk-negative" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx",
        "/nul-in-status" => b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
        "/escape-in-status" => b"HTTP/1.1 200 \x1b[2J\r\nContent-Length: 0\r\n\r\n",
        "/nul-in-field" => b"HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 0\r\n\r\n",
        "/escape-in-field" => b"HTTP/1.1 200 OK\r\nA: \x1b]0;title\x07\r\nContent-Length: 0\r\n\r\n",
        "/latin-in-field" => b"HTTP/1.1 200 OK\r\nA: caf\xe9\r\nContent-Length: 0\r\n\r\n",
        "/status-99" => b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        "/status-9999" => b"HTTP/1.1 9999 High\r\nContent-Length: 0\r\n\r\n",
        "/old-version" => b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "/folded" => b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "/space-before-colon" => b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "/switch" => b"HTTP/1.1 101 Now\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        other => panic!("no such way to misbehave: {other}"),
    }
}

fn endless(path: &str, s: &mut TcpStream) -> std::io::Result<()> {
    let (first, again): (&[u8], &[u8]) = match path {
        "/endless-fields" => (OK, b"A: b\r\n"),
        "/endless-field" => (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
        "/endless-status" => (b"HTTP/1.1 200 ", b"O"),
        "/endless-chunk-extension" => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        "/endless-trailer" => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
        "/endless-chunks" => (CHUNKED, b"33\r\nwhat does not end is counted and cut off, as it was\r\n"),
        "/endless-body" => (b"HTTP/1.1 200 OK\r\n\r\n", b"what"),
        _ => (b"", b"HTTP/1.1 102 Wait\r\n\r\n"),
    };
    s.write_all(first)?;
    let block = again.repeat((16 << 10) / again.len());
    while s.write_all(&block).is_ok() {}
    Ok(())
}

/// Writes `first`, then `again` over and over, a byte at a time.
fn drip(s: &mut TcpStream, first: &[u8], again: &[u8]) -> std::io::Result<()> {
    s.write_all(first)?;
    for byte in again.iter().cycle().take(40) {
        s.write_all(&[*byte])?;
        sleep(DRIP);
    }
    Ok(())
}

/// Ends its own direction only, and goes on reading.
fn half_close(s: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    s.write_all(answer)?;
    s.shutdown(Shutdown::Write)?;
    s.set_read_timeout(Some(SILENCE))?;
    let mut rest = [0; 256];
    while s.read(&mut rest)? > 0 {}
    Ok(())
}

fn events(path: &str, s: &mut TcpStream) -> std::io::Result<()> {
    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let head = |rest: &[u8]| [STREAM, rest].concat();
    let endless = |s: &mut TcpStream, first: &[u8], again: &[u8]| {
        let block = again.repeat((16 << 10) / again.len());
        s.write_all(&head(first)).map(|()| while s.write_all(&block).is_ok() {})
    };
    match path {
        "/sse-refused" => s.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?,
        "/sse-page" => s.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>")?,
        "/sse-no-type" => s.write_all(b"HTTP/1.1 200 OK\r\n\r\ndata: x\n\n")?,
        "/sse-nothing" => s.write_all(b"HTTP/1.1 204 No\r\n\r\n")?,
        "/sse-moved" => s.write_all(b"HTTP/1.1 302 X\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n")?,
        "/sse-half-head" => s.write_all(b"HTTP/1.1 200 OK\r\nContent-Ty")?,
        "/sse-no-head" => sleep(SILENCE),
        "/sse-ends" => s.write_all(&head(b"\r\ndata: x\n\n"))?,
        "/sse-empty" => s.write_all(&head(b"Content-Length: 0\r\n\r\n"))?,
        "/sse-short" => s.write_all(&head(b"Content-Length: 99\r\n\r\ndata: x\n\n"))?,
        "/sse-cut-chunk" => s.write_all(&head(b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata"))?,
        "/sse-bad-chunk" => s.write_all(&head(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"))?,
        "/sse-silent" => {
            s.write_all(&head(b"\r\n"))?;
            sleep(SILENCE);
        }
        "/sse-drip" => drip(s, &head(b"\r\n"), b"data")?,
        "/sse-reset" => {
            s.write_all(&head(b"\r\ndata"))?;
            sleep(ARRIVE);
            reset(s);
        }
        "/sse-zstd" => s.write_all(&head(b"Content-Encoding: zstd\r\n\r\n"))?,
        "/sse-not-gzip" => s.write_all(&head(b"Content-Encoding: gzip\r\n\r\ndata: no gzip at all\n\n"))?,
        "/sse-bomb" => {
            let mut coder = flate2::write::GzEncoder::new(s, flate2::Compression::best());
            coder.get_mut().write_all(&head(b"Content-Encoding: gzip\r\n\r\n"))?;
            let block = vec![b'x'; 1 << 20];
            while coder.write_all(&block).is_ok() {}
        }
        "/sse-endless-line" => endless(s, b"\r\n: ", b"x")?,
        "/sse-endless-event" => endless(s, b"\r\n", b"data: x\n")?,
        "/sse-comment-flood" => endless(s, b"\r\n", b": ping\n\n")?,
        "/sse-event-flood" => endless(s, b"\r\n", b"data: x\n\n")?,
        "/sse-id-flood" => endless(s, b"\r\n", b"id: x\nretry: 0\n\n")?,
        "/sse-garbage" => endless(s, b"\r\n", b"\xFF\0\r\xC3data:\n\r\n")?,
        other => panic!("no such way to misbehave: {other}"),
    }
    sleep(ARRIVE);
    Ok(())
}

fn websocket(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<()> {
    upgrade(head, s)?;
    read_frame(s)?;
    match path {
        "/ws-endless-fragments" => {
            s.write_all(&frame(0x01, b"x"))?;
            let block = frame(0x00, &[b'x'; 100]).repeat(100);
            while s.write_all(&block).is_ok() {}
        }
        "/ws-length-top-bit" => s.write_all(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1])?,
        "/ws-drip" => drip(s, &[0x81, 100], b"x")?,
        "/ws-ping-flood" => {
            // No pong is read: what the client has to write must not pile up.
            let block = frame(0x89, &[b'p'; 100]).repeat(100);
            while s.write_all(&block).is_ok() {}
        }
        "/ws-message-flood" => {
            let block = frame(0x81, b"more").repeat(5000);
            while s.write_all(&block).is_ok() {}
        }
        "/ws-half-frame" => s.write_all(&[0x81, 50, b'x'])?,
        "/ws-http" => s.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?,
        "/ws-close-1-byte" => s.write_all(&frame(0x88, b"x"))?,
        other => panic!("no such way to misbehave: {other}"),
    }
    sleep(ARRIVE);
    Ok(())
}
