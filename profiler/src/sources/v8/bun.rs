//! Where Bun's inspector is: it lists no targets and hands out a path of its own, so only one whose command line says the path can be found.
//!
//! Owns the form of that option. What is evaluated there, and how, is as with V8's.

use std::fs;
use std::net::SocketAddr;

use super::{V8Error, inspector};
use crate::sources::discover::{Runtime, discover};

/// Options that open it: `--inspect=[ws://][HOST:]PORT/PATH`.
const OPTIONS: [&str; 3] = ["--inspect", "--inspect-brk", "--inspect-wait"];
/// How one is started that can be found.
pub const OPTION: &str = "--inspect=127.0.0.1:6499/dyno";

/// The path of the inspector at `address`, if one of Bun's listens there.
///
/// # Errors
/// Its path is known to nobody.
pub(super) fn path(address: SocketAddr) -> Option<Result<String, V8Error>> {
    let served = discover(address.port()).ok()?;
    let on_bun: Vec<u32> =
        served.processes.iter().filter(|p| p.runtime == Runtime::Bun).map(|p| p.pid).collect();
    if on_bun.is_empty() {
        return None;
    }
    let said = on_bun.into_iter().filter_map(inspector_of).find(|said| said.0 == address.port());
    let hidden =
        || V8Error::NotInspector(format!("Bun tells its path only where it was started: {}", start()));
    Some(said.map(|said| said.1).ok_or_else(hidden))
}

/// What is said to whoever has none that can be found.
pub(super) fn start() -> String {
    format!("start Bun with {OPTION}, whose path is known")
}

/// Does process `pid` say where its inspector is?
pub(super) fn says_where(pid: u32) -> bool {
    inspector_of(pid).is_some()
}

fn inspector_of(pid: u32) -> Option<(u16, String)> {
    said(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)
}

/// Port and path that a command line says for it.
fn said(command_line: &[u8]) -> Option<(u16, String)> {
    let mut places = inspector::said(command_line, &OPTIONS).filter_map(|place| {
        let place = place.strip_prefix("ws://").unwrap_or(place);
        let (at, path) = place.split_at(place.find('/')?);
        Some((inspector::port_at(at)?, path.to_owned()))
    });
    places.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_option_that_names_port_and_path_says_where_it_is() {
        let at = |option: &str| said(["bun", option, "server.js"].join("\0").as_bytes());
        let here = |port, path: &str| Some((port, path.to_owned()));
        assert_eq!(at("--inspect=127.0.0.1:6499/dyno"), here(6_499, "/dyno"));
        assert_eq!(at("--inspect-wait=ws://localhost:6500/a/b"), here(6_500, "/a/b"));
        assert_eq!(at("--inspect-brk=[::1]:6499/x"), here(6_499, "/x"));
        assert_eq!(at("--inspect=6499/x"), here(6_499, "/x"));
        for hidden in
            ["--inspect", "--inspect=6499", "--inspect=localhost:6499", "--inspect=/x", "--port=6499/x"]
        {
            assert_eq!(at(hidden), None, "{hidden}");
        }
    }
}
