//! The listening sockets that the supervisor hands over, before the first order.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::settings::MAX_WORKERS;
use crate::wire::LISTENER_FOLLOWS;

/// Takes them from standard input, which must be a local stream; this process's own comes first.
///
/// # Errors
/// When somebody else started this process.
pub fn receive() -> io::Result<Vec<TcpListener>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_WORKERS))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let received = match recvmsg(io::stdin(), &mut bytes, &mut along, RecvFlags::CMSG_CLOEXEC) {
        Err(rustix::io::Errno::NOTSOCK) => return Err(io::Error::other("it is none of a supervisor's")),
        other => other?,
    };
    if received.bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"));
    }
    let mut listeners = Vec::new();
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            listeners.extend(descriptors.map(TcpListener::from));
        }
    }
    if listeners.is_empty() || byte != [LISTENER_FOLLOWS] {
        return Err(io::Error::other("no socket came with it"));
    }
    Ok(listeners)
}
