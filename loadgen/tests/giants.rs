//! Many sessions that are all answered with giants at once: the worker keeps what it has room for, and says so of the rest.

mod common;
#[path = "common/server.rs"]
mod server;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use common::*;
use scenarios::plan::*;
use server::*;

/// Sessions, each with 7 MiB of an answer: two thirds more than a worker has room for.
const SESSIONS: u32 = 60;
const MIB: usize = 1 << 20;

static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];

/// Answers that were written but for their last block, or were given up by the worker.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

/// The worker has told that there is no room for one.
static REFUSED: AtomicBool = AtomicBool::new(false);

fn all_but_the_last_block(s: &mut TcpStream) -> std::io::Result<()> {
    write!(s, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 7 * MIB)?;
    (1..7 * MIB / BLOCK.len()).try_for_each(|_| s.write_all(&BLOCK))
}

fn act(_: &str, _: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    let written = all_but_the_last_block(s);
    WRITTEN.fetch_add(1, Ordering::Relaxed);
    written?;
    // They stand here, almost whole, until as many as there are sessions have come so far, some of those by giving up, and what lies
    // in the system's buffers is read.
    until(|| WRITTEN.load(Ordering::Relaxed) >= SESSIONS && REFUSED.load(Ordering::Relaxed));
    s.write_all(&BLOCK)?;
    Ok(false)
}

#[test]
fn a_worker_keeps_what_it_has_room_for() {
    let mut request = request(0, "GET", "/");
    request.checks.push(Check::Body(TextTest::Contains("x".to_owned())));
    let mut plan = plan(held(SESSIONS), 3_000, vec![Step::Request(Box::new(request))]);
    (plan.timeout_ns, plan.grace_ns) = (LONG_MS * MS, LONG_MS * MS);
    let totals = run_until(plan, serve(act), |t| {
        REFUSED.fetch_or(t.errors().contains_key("no-room"), Ordering::Relaxed);
        false
    });
    assert!(totals.lost.is_empty(), "{:?}", totals.lost);
    let errors = totals.errors();
    assert_eq!(errors.keys().collect::<Vec<_>>(), [&"no-room"], "{errors:?}");
    let whole = totals.sum(|c| c.completed) - errors["no-room"];
    // What some give back others may take.
    assert!(whole >= 30, "{whole} whole, {errors:?}");
}

/// Sessions that send back what came, 16 MiB each, to a server that reads nothing: twice what a worker has room for, and what
/// the system takes of it is a quarter.
const ECHOES: u32 = 32;

fn say_much_and_read_nothing(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    static TURN: Mutex<()> = Mutex::new(());
    upgrade(head, s)?;
    // One after the other: what is under way takes room as well, and is not what this is about.
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    s.write_all(&[0x82, 127])?;
    s.write_all(&(16 * MIB as u64).to_be_bytes())?;
    let block = [b'x'; 64 << 10];
    for _ in 0..16 * MIB / block.len() {
        s.write_all(&block)?;
    }
    drop(turn);
    // For longer than the test.
    std::thread::sleep(Duration::from_secs(300));
    Ok(false)
}

#[test]
fn echoes_that_nobody_reads_need_room_too() {
    let Step::Connect(mut open) = connect(0, "/ws") else { unreachable!() };
    let max_message = Some(17 * MIB as u32);
    open.options = SocketOptions { echo: true, max_message, ..SocketOptions::default() };
    let plan = plan(held(ECHOES), LONG_MS, vec![Step::Connect(open), think(LONG_MS)]);
    let refused = |t: &Totals| t.errors().contains_key("no-room");
    let totals = run_until(plan, serve(say_much_and_read_nothing), refused);
    assert!(totals.lost.is_empty(), "{:?}", totals.lost);
    let errors = totals.errors();
    assert_eq!(errors.keys().collect::<Vec<_>>(), [&"no-room"], "{errors:?}");
}
