//! A connection: a socket that counts itself and its bytes, and owns no buffer.
//!
//! Plaintext or under TLS. Reads go to the shard's buffer while it is lent; what a read yields is worked on at once, inside the same poll.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::figures::{self, Figures};
use crate::kind::ErrorKind;
use crate::tls::Secure;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    figures: Rc<Figures>,
}

/// What carries the bytes.
#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

impl Connection {
    /// Counts `stream` as open.
    #[must_use]
    pub fn new(stream: TcpStream, figures: Rc<Figures>) -> Self {
        figures::add(&figures.open_connections, 1);
        Self { wire: Wire::Plain(stream), figures }
    }

    /// The same for one under TLS, the handshake done.
    #[must_use]
    pub fn secure(secure: Box<Secure>, figures: Rc<Figures>) -> Self {
        figures::add(&figures.open_connections, 1);
        Self { wire: Wire::Secure(secure), figures }
    }

    /// The protocol that ALPN agreed on; none in plaintext, or if the server chose nothing.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Secure(secure) => secure.protocol(),
        }
    }

    /// What it counts in.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Reads what is there and gives it to `take`; an empty portion is the end of the stream.
    pub fn poll_portion<T>(
        &mut self,
        cx: &mut Context<'_>,
        input: &RefCell<Box<[u8]>>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<Result<T, ErrorKind>> {
        let mut input = input.borrow_mut();
        let mut buffer = ReadBuf::new(&mut input);
        ready!(self.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    }

    /// Reads what is there into `buffer`; nothing is the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), ErrorKind>> {
        let before = buffer.filled().len();
        match &mut self.wire {
            Wire::Plain(stream) => {
                ready!(Pin::new(stream).poll_read(cx, buffer)).map_err(|e| ErrorKind::of_io(&e))?;
            }
            Wire::Secure(secure) => {
                let n = ready!(secure.poll_read(cx, buffer.initialize_unfilled()))?;
                buffer.advance(n);
            }
        }
        figures::add(&self.figures.received, (buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }

    /// Is nothing there to be read, neither bytes nor an end? What there is, is lost. The system is asked only where the
    /// runtime has heard of something since the last read.
    pub fn is_quiet(&mut self) -> bool {
        match &mut self.wire {
            Wire::Plain(stream) => {
                stream.try_read(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
            }
            Wire::Secure(secure) => secure.is_quiet(),
        }
    }

    /// Writes what the socket takes at once; gives back the rest.
    ///
    /// # Errors
    /// The kind of the error met.
    pub fn write_now<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], ErrorKind> {
        let stream = match &mut self.wire {
            Wire::Plain(stream) => stream,
            Wire::Secure(secure) => {
                let taken = secure.write_now(bytes)?;
                figures::add(&self.figures.sent, taken as u64);
                return Ok(&bytes[taken..]);
            }
        };
        while !bytes.is_empty() {
            match stream.try_write(bytes) {
                Ok(0) => return Err(ErrorKind::Reset),
                Ok(n) => {
                    figures::add(&self.figures.sent, n as u64);
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ErrorKind::of_io(&e)),
            }
        }
        Ok(bytes)
    }

    /// Is there room to write more?
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        match &mut self.wire {
            Wire::Plain(stream) => stream.poll_write_ready(cx).map_err(|e| ErrorKind::of_io(&e)),
            Wire::Secure(secure) => secure.poll_flush(cx),
        }
    }

    /// Has all that was taken gone out to the socket?
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        match &mut self.wire {
            Wire::Plain(_) => Poll::Ready(Ok(())),
            Wire::Secure(secure) => secure.poll_flush(cx),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        figures::sub(&self.figures.open_connections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_costs_a_plaintext_connection_nothing() {
        assert_eq!(size_of::<Connection>(), size_of::<(TcpStream, Rc<Figures>)>());
        assert_eq!(size_of::<Option<Connection>>(), size_of::<Connection>());
    }
}
