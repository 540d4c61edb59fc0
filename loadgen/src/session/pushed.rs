//! What a server sends and no step waits for: counted, sized, and timed where it carries a timestamp.

use serde_json_path::JsonPath;
use timeline::clock::unix_ms;

use crate::figures;
use crate::shard::Shard;
use crate::ws::age;

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
