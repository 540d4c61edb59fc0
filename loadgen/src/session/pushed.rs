//! What goes on beside a step. What a server sends and the step does not wait for is read: counted, sized, and timed where it
//! carries a timestamp. Pings go out.

use std::task::{Context, Poll, ready};

use timeline::clock::unix_ms;

use super::socket::Socket;
use super::{Rare, stream_of};
use crate::figures;
use crate::scan::Finder;
use crate::seats::SeatId;
use crate::shard::Shard;
use crate::ws::age;

/// Does all of it while a step waits for something else; should a WebSocket or stream end, that is seen after the step.
pub(super) fn read(
    cx: &mut Context<'_>,
    shard: &Shard,
    seat: SeatId,
    socket: &mut Option<Box<Socket>>,
    rare: &mut Option<Box<Rare>>,
) {
    if let Some(socket) = socket {
        let _ = poll_due(shard, seat, Some(&mut **socket), None);
        let _ = socket.poll_messages(cx, shard, &mut |_| false);
    }
    if let Some(events) = stream_of(rare) {
        events.read_on(cx, shard);
    }
}

/// Pings if that is due, and has the session woken when the next ping is, or at `other` (run time, ns). Ready when `other` has
/// come. A session that is to end is not woken any more.
pub(super) fn poll_due(
    shard: &Shard,
    seat: SeatId,
    mut socket: Option<&mut Socket>,
    other: Option<u64>,
) -> Poll<()> {
    loop {
        // One that is due later than the step must be over is the next step's.
        let ping =
            socket.as_deref().and_then(Socket::ping_due).filter(|due| *due < shard.seats.deadline(seat));
        let Some(due) = ping.into_iter().chain(other).min() else { return Poll::Pending };
        ready!(shard.seats.poll_nap(seat, due, || shard.now()));
        let now = shard.now();
        if other.is_some_and(|other| other <= now) {
            return Poll::Ready(());
        }
        let Some(socket) = socket.as_mut().filter(|_| due <= now) else { return Poll::Pending };
        socket.ping(now);
    }
}

/// Counts something pushed, of so many bytes. `text` is what may hold a timestamp, at `push_age` if that is to be looked for.
pub(super) fn count(shard: &Shard, bytes: usize, text: Option<&str>, push_age: Option<&Finder>) {
    let figures = &shard.figures;
    figures::add(&figures.pushed, 1);
    figures::add(&figures.ws.pushed_bytes, bytes as u64);
    let Some(path) = push_age else { return };
    match text.and_then(|text| age::of(text, path, unix_ms())) {
        Some(ns) => {
            figures.roll(shard.now());
            figures.ws.push_age(ns);
        }
        None => figures::add(&figures.ws.unstamped, 1),
    }
}
