//! The listening socket that the supervisor hands over, before the first order.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::wire::LISTENER_FOLLOWS;

/// Takes it from standard input, which must be a local stream.
///
/// # Errors
/// When somebody else started this process.
pub fn receive() -> io::Result<TcpListener> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let received = match recvmsg(io::stdin(), &mut bytes, &mut along, RecvFlags::CMSG_CLOEXEC) {
        Err(rustix::io::Errno::NOTSOCK) => return Err(io::Error::other("it is none of a supervisor's")),
        other => other?,
    };
    if received.bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"));
    }
    let descriptor = along.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let listener = descriptor.filter(|_| byte == [LISTENER_FOLLOWS]).map(TcpListener::from);
    listener.ok_or_else(|| io::Error::other("no socket came with it"))
}
