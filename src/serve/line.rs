//! One connection with a watcher, or with whoever scrapes: a socket, under TLS or not, on which nothing waits without end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use timeline::MonoNs;

/// A connection whose every read and write ends by a deadline, also when the other side sends or takes byte by byte.
pub struct Line(Kind);

enum Kind {
    Plain(Wire),
    Tls(Box<StreamOwned<ServerConnection, Wire>>),
}

impl Line {
    /// Over `tcp`; with `tls` the handshake comes with the first read.
    pub fn new(tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<Self, rustls::Error> {
        let wire = Wire { tcp, deadline: MonoNs::now() };
        Ok(Self(match tls {
            None => Kind::Plain(wire),
            Some(config) => {
                Kind::Tls(Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config))?, wire)))
            }
        }))
    }

    /// From now on reads and writes have so much time altogether.
    pub fn within(&mut self, time: Duration) {
        let wire = match &mut self.0 {
            Kind::Plain(wire) => wire,
            Kind::Tls(stream) => &mut stream.sock,
        };
        wire.deadline = MonoNs(MonoNs::now().0.saturating_add(time.as_nanos() as u64));
    }

    /// Takes leave, so that the other side can tell an end from a break.
    pub fn close(&mut self) -> io::Result<()> {
        if let Kind::Tls(stream) = &mut self.0 {
            stream.conn.send_close_notify();
        }
        self.flush()
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(wire) => wire.read(into),
            Kind::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(wire) => wire.write(bytes),
            Kind::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(wire) => wire.flush(),
            Kind::Tls(stream) => stream.flush(),
        }
    }
}

struct Wire {
    tcp: TcpStream,
    deadline: MonoNs,
}

impl Wire {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.since(MonoNs::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(self.left()?))?;
        self.tcp.read(into)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.left()?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
