//! WebSocket clients of Rust libraries, each connection sending a text and waiting for its echo, over and over.
//!
//! `dyno-bench-websockets fastwebsockets|tokio-websockets PORT CONNECTIONS` runs until it is ended, on one thread, as the engine's
//! worker does. Both libraries get a socket whose handshake was made by hand, so that only their messages are compared.

use std::error::Error;
use std::process::ExitCode;

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_websockets::{ClientBuilder, Message};

/// What is sent: as long as the engine's message.
const TEXT: &str = "{\"id\":123456,\"say\":\"hello, you\"}";

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["--bench-version"] => {
            println!("fastwebsockets 0.10.0, tokio-websockets 0.13.3");
            Ok(())
        }
        [library @ ("fastwebsockets" | "tokio-websockets"), port, connections] => {
            run(library, port, connections)
        }
        _ => Err("usage: dyno-bench-websockets fastwebsockets|tokio-websockets PORT CONNECTIONS".into()),
    };
    if let Err(error) = outcome {
        eprintln!("dyno-bench-websockets: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(library: &str, port: &str, connections: &str) -> Outcome {
    let (port, connections): (u16, usize) = (port.parse()?, connections.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        // All first: those that send would leave no turn of the target's to those that still knock.
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(connect(port).await?);
        }
        let mut clients = JoinSet::new();
        for stream in open {
            match library {
                "fastwebsockets" => {
                    clients.spawn_local(async { fast(stream).await.map_err(|e| e.to_string()) })
                }
                _ => clients.spawn_local(async { tokio_websockets(stream).await.map_err(|e| e.to_string()) }),
            };
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// An open socket after a handshake.
async fn connect(port: u16) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    // The server says nothing behind its answer until it is spoken to.
    let (mut answer, mut length) = ([0; 1024], 0);
    while !answer[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut answer[length..]).await? {
            0 => return Err("the handshake was refused".into()),
            n => length += n,
        }
    }
    if !answer.starts_with(b"HTTP/1.1 101") {
        return Err("the handshake was refused".into());
    }
    Ok(stream)
}

async fn fast(stream: TcpStream) -> Outcome {
    let mut socket = WebSocket::after_handshake(stream, Role::Client);
    loop {
        socket.write_frame(Frame::text(Payload::Borrowed(TEXT.as_bytes()))).await?;
        let echo = socket.read_frame().await?;
        if echo.opcode != OpCode::Text || &*echo.payload != TEXT.as_bytes() {
            return Err("that is no echo".into());
        }
    }
}

async fn tokio_websockets(stream: TcpStream) -> Outcome {
    let mut socket = ClientBuilder::new().take_over(stream);
    loop {
        socket.send(Message::text(TEXT)).await?;
        let echo = socket.next().await.ok_or("closed")??;
        if echo.as_text() != Some(TEXT) {
            return Err("that is no echo".into());
        }
    }
}
