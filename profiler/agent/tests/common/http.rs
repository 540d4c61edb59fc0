//! Asking the endpoint.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::start::TOKEN;

/// Polls until `is` gives something, at most 10 s.
pub fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let start = MonoNs::now();
    while MonoNs::now().since(start) < Duration::from_secs(10) {
        if let Some(found) = is() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited 10 s in vain: {what}");
}

/// Waits for a tick that began after this call.
pub fn fresh_tick(agent: &Agent) -> Batch {
    let seen = agent.batch(0).ticks.last().map_or(0, |t| t.seq);
    until("a fresh tick", || {
        let batch = agent.batch(0);
        (batch.ticks.last()?.seq > seen + 1).then_some(batch)
    })
}

/// Index of the lane called `name` about `subject`.
pub fn lane(batch: &Batch, name: &str, subject: &str) -> Option<u32> {
    let is = |l: &timeline::lane::LaneSpec| l.name == name && l.subject == subject;
    batch.lanes.iter().position(is).map(|n| n as u32)
}

pub fn value(tick: &Tick, lane: u32) -> Option<f64> {
    tick.values
        .iter()
        .find(|(l, _)| *l == lane)
        .map(|(_, v)| *v)
}

/// All values of a lane, oldest first.
pub fn values(batch: &Batch, name: &str) -> Vec<f64> {
    let Some(lane) = lane(batch, name, "") else {
        return Vec::new();
    };
    batch.ticks.iter().filter_map(|t| value(t, lane)).collect()
}

pub fn last(batch: &Batch, name: &str) -> f64 {
    *values(batch, name)
        .last()
        .unwrap_or_else(|| panic!("no value of {name}"))
}

/// What a rate lane amounts to over all ticks kept.
pub fn amount(batch: &Batch, name: &str, subject: &str) -> f64 {
    let lane = lane(batch, name, subject).unwrap_or_else(|| panic!("no lane {name}"));
    let mut sum = 0.0;
    for pair in batch.ticks.windows(2) {
        sum += value(&pair[1], lane).unwrap_or(0.0) * (pair[1].at - pair[0].at) as f64 / 1e9;
    }
    sum
}

/// Microseconds and counts of a histogram lane over all ticks kept.
pub fn cells(batch: &Batch, name: &str, subject: &str) -> Vec<(u32, u32)> {
    let lane = lane(batch, name, subject).unwrap_or_else(|| panic!("no lane {name}"));
    let of = |t: &Tick| {
        t.histograms
            .iter()
            .filter(|(l, _)| *l == lane)
            .flat_map(|(_, h)| h.cells.clone())
            .collect::<Vec<_>>()
    };
    batch.ticks.iter().flat_map(of).collect()
}

pub fn events(batch: &Batch, kind: &str) -> Vec<ProbeEvent> {
    batch
        .ticks
        .iter()
        .flat_map(|t| &t.events)
        .filter(|e| e.kind == kind)
        .cloned()
        .collect()
}

/// A request with the token and its answer: status, head, body.
pub fn get(addr: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = ask(
        addr,
        &format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
        ),
    );
    (status, body)
}

/// Polls until `is` gives something, at most 10 s.
pub fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let start = MonoNs::now();
    while MonoNs::now().since(start) < Duration::from_secs(10) {
        if let Some(found) = is() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited 10 s in vain: {what}");
}

/// Waits for a tick that began after this call.
pub fn fresh_tick(agent: &Agent) -> Batch {
    let seen = agent.batch(0).ticks.last().map_or(0, |t| t.seq);
    until("a fresh tick", || {
        let batch = agent.batch(0);
        (batch.ticks.last()?.seq > seen + 1).then_some(batch)
    })
}

/// Index of the lane called `name` about `subject`.
pub fn lane(batch: &Batch, name: &str, subject: &str) -> Option<u32> {
    let is = |l: &timeline::lane::LaneSpec| l.name == name && l.subject == subject;
    batch.lanes.iter().position(is).map(|n| n as u32)
}

pub fn value(tick: &Tick, lane: u32) -> Option<f64> {
    tick.values
        .iter()
        .find(|(l, _)| *l == lane)
        .map(|(_, v)| *v)
}

/// All values of a lane, oldest first.
pub fn values(batch: &Batch, name: &str) -> Vec<f64> {
    let Some(lane) = lane(batch, name, "") else {
        return Vec::new();
    };
    batch.ticks.iter().filter_map(|t| value(t, lane)).collect()
}

pub fn last(batch: &Batch, name: &str) -> f64 {
    *values(batch, name)
        .last()
        .unwrap_or_else(|| panic!("no value of {name}"))
}

/// What a rate lane amounts to over all ticks kept.
pub fn amount(batch: &Batch, name: &str, subject: &str) -> f64 {
    let lane = lane(batch, name, subject).unwrap_or_else(|| panic!("no lane {name}"));
    let mut sum = 0.0;
    for pair in batch.ticks.windows(2) {
        sum += value(&pair[1], lane).unwrap_or(0.0) * (pair[1].at - pair[0].at) as f64 / 1e9;
    }
    sum
}

/// Microseconds and counts of a histogram lane over all ticks kept.
pub fn cells(batch: &Batch, name: &str, subject: &str) -> Vec<(u32, u32)> {
    let lane = lane(batch, name, subject).unwrap_or_else(|| panic!("no lane {name}"));
    let of = |t: &Tick| {
        t.histograms
            .iter()
            .filter(|(l, _)| *l == lane)
            .flat_map(|(_, h)| h.cells.clone())
            .collect::<Vec<_>>()
    };
    batch.ticks.iter().flat_map(of).collect()
}

pub fn events(batch: &Batch, kind: &str) -> Vec<ProbeEvent> {
    batch
        .ticks
        .iter()
        .flat_map(|t| &t.events)
        .filter(|e| e.kind == kind)
        .cloned()
        .collect()
}

/// A request with the token and its answer: status, head, body.
pub fn get(addr: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = ask(
        addr,
        &format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
        ),
    );
    (status, body)
}

/// A request as written and its answer, to the end of the connection.
pub fn ask(addr: SocketAddr, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).expect("the endpoint listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("20 s is no zero");
    stream
        .write_all(request.as_bytes())
        .expect("room in the socket");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head is text");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .expect("a status");
    (status, head, answer[end..].to_vec())
}
