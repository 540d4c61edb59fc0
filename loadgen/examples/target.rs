//! A target to measure the engine against: answers every HTTP request with 13 bytes, echoes WebSocket messages.
//!
//! `cargo run --release --example target -- PORT`. One thread, and as little work as possible: it is not to be what is measured.

use std::error::Error;

use loadgen::ws::{encode, handshake};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("which port?")?.parse()?;
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options)?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(([127, 0, 0, 1], port).into())?;
        let listener: TcpListener = socket.listen(4096)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(async move {
                // A client that hangs up is no concern of ours.
                let _ = serve(stream).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    // On the heap only while something is read: an idle connection is to cost little here, too.
    loop {
        stream.readable().await?;
        let mut buffer = [0; 4096];
        let n = match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        let head = &buffer[..n];
        if let Some(key) = key(head) {
            let accept = handshake::accept(&key);
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            return Box::pin(echo(stream)).await;
        }
        // Every client measured here sends whole requests, one at a time.
        stream.write_all(ANSWER).await?;
    }
}

fn key(head: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(head).ok()?;
    text.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).map(str::to_owned)
}

/// Echoes short frames, each of which comes whole.
async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        stream.readable().await?;
        let mut frame = [0; 512];
        let n = match stream.try_read(&mut frame) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        let length = usize::from(frame[1] & 0x7F);
        if n != length + 6 || length > 125 {
            return Ok(());
        }
        let mask = [frame[2], frame[3], frame[4], frame[5]];
        encode::apply(&mut frame[6..n], mask);
        let answer = [&[frame[0], length as u8], &frame[6..n]].concat();
        stream.write_all(&answer).await?;
        if frame[0] & 0x0F == 8 {
            return Ok(());
        }
    }
}
