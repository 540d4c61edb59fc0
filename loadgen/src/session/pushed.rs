//! What a server sends and no step waits for: counted, sized, and timed where it carries a timestamp.

use std::task::Context;

use serde_json_path::JsonPath;
use timeline::clock::unix_ms;

use super::socket::Socket;
use super::{Rare, stream_of};
use crate::figures;
use crate::random::Stream;
use crate::shard::Shard;
use crate::ws::age;

/// Reads it while a step waits for something else; should a WebSocket or stream end, that is seen after the step.
pub(super) fn read(
    cx: &mut Context<'_>,
    shard: &Shard,
    socket: &mut Option<Box<Socket>>,
    rare: &mut Option<Box<Rare>>,
    stream: &mut Stream,
) {
    if let Some(socket) = socket {
        let _ = socket.poll_messages(cx, shard, stream, &mut |_| false);
    }
    if let Some(events) = stream_of(rare) {
        events.read_on(cx, shard);
    }
}

/// Counts something pushed, of so many bytes. `text` is what may hold a timestamp, at `push_age` if that is to be looked for.
pub(super) fn count(shard: &Shard, bytes: usize, text: Option<&str>, push_age: Option<&JsonPath>) {
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
