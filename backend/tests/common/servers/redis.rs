//! A Redis server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::{Server, command, folder, free_port, program, start};

/// Kept out of every message: tests look for it.
pub const PASSWORD: &str = "pa55-of-the-cache";

/// A server with nothing in it.
pub struct Redis {
    server: Server,
    port: u16,
}

impl Redis {
    pub fn start() -> Self {
        let folder = folder();
        let port = free_port();
        let mut redis = command(&program(&["redis-server"], "redis-server"), folder.path());
        redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        redis.args(["--requirepass", PASSWORD, "--dir"]).arg(folder.path());
        let server = start(redis, folder, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { server, port }
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// The answer to one command: a text, a number as text, or none.
    pub fn ask(&self, parts: &[&str]) -> Option<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut reader = BufReader::new(stream);
        send(&mut reader, &["AUTH", PASSWORD]);
        assert_eq!(answer(&mut reader).as_deref(), Some("OK"));
        send(&mut reader, parts);
        answer(&mut reader)
    }
}

fn send(stream: &mut BufReader<TcpStream>, parts: &[&str]) {
    let mut text = format!("*{}\r\n", parts.len());
    for part in parts {
        text += &format!("${}\r\n{part}\r\n", part.len());
    }
    stream.get_mut().write_all(text.as_bytes()).unwrap();
}

fn answer(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "+" | ":" => Some(rest.to_owned()),
        "$" if rest == "-1" => None,
        "$" => {
            let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
            stream.read_exact(&mut text).unwrap();
            Some(String::from_utf8(text).unwrap().trim_end().to_owned())
        }
        _ => panic!("{line}"),
    }
}
