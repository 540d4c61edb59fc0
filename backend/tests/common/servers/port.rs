//! Ports for servers that take none of the system's choosing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;

/// Among these is each server's port.
const PORTS: Range<u16> = 10_000..30_000;

/// A port that is free at this moment, below those that the system gives to whoever asks for any: nobody else comes by it before the server.
pub fn free_port() -> u16 {
    let any = || PORTS.start + (RandomState::new().build_hasher().finish() % PORTS.len() as u64) as u16;
    std::iter::repeat_with(any).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
