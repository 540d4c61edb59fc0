//! A connection: a socket that counts itself and its bytes, and owns no buffer.
//!
//! Reads go to the shard's buffer while it is lent; what a read yields is worked on at once, inside the same poll.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::figures::{self, Figures};
use crate::kind::ErrorKind;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    figures: Rc<Figures>,
}

impl Connection {
    /// Counts `stream` as open.
    #[must_use]
    pub fn new(stream: TcpStream, figures: Rc<Figures>) -> Self {
        figures::add(&figures.open_connections, 1);
        Self { stream, figures }
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
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) => {
                let portion = buffer.filled();
                figures::add(&self.figures.received, portion.len() as u64);
                Ok(take(portion))
            }
            Err(e) => Err(ErrorKind::of_io(&e)),
        })
    }

    /// Writes what the socket takes at once; gives back the rest.
    ///
    /// # Errors
    /// The kind of the error met.
    pub fn write_now<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], ErrorKind> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
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
        self.stream.poll_write_ready(cx).map_err(|e| ErrorKind::of_io(&e))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        figures::sub(&self.figures.open_connections);
    }
}
