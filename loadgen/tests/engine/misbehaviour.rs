//! Whatever a server does, it gets a named kind of error; nothing hangs, and other sessions go on.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::beside::errors_at;
use crate::common::*;
use crate::server::*;
use scenarios::plan::*;

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    match path {
        "/ok" | "/reset-after" => {
            ok(s, "{}")?;
            return Ok(path == "/ok");
        }
        "/reset" => reset(s),
        "/reset-half" => {
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")?;
            sleep(Duration::from_millis(20));
            reset(s);
        }
        "/half" => s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")?,
        "/half-head" => s.write_all(b"HTTP/1.1 200 OK\r\nContent-Le")?,
        "/half-chunk" => s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")?,
        "/close" => {}
        "/bad-head" => s.write_all(b"HELLO THERE\r\n\r\n")?,
        "/bad-length" => s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc")?,
        "/two-lengths" => s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc")?,
        "/bad-chunk" => s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")?,
        "/endless-head" => {
            s.write_all(b"HTTP/1.1 200 OK\r\n")?;
            while s.write_all(b"X-More: of the same\r\n").is_ok() {}
        }
        "/many-fields" => {
            s.write_all(b"HTTP/1.1 200 OK\r\n")?;
            s.write_all(&b"A: b\r\n".repeat(500))?;
            s.write_all(b"\r\n")?;
        }
        "/interim" => while s.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {},
        "/silent" => sleep(Duration::from_secs(2)),
        "/drip" => {
            for b in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'z')) {
                s.write_all(&[*b])?;
                sleep(Duration::from_millis(5));
            }
        }
        "/huge" => {
            s.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            let block = vec![b' '; 1 << 16];
            while s.write_all(&block).is_ok() {}
        }
        "/500" => s.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")?,
        "/ws-refused" => return ok(s, "no"),
        "/ws-wrong" => s.write_all(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: nonsense\r\n\r\n")?,
        path => {
            if path == "/ws-early" {
                // A frame that comes in one piece with the handshake.
                let mut answer = upgraded(head).into_bytes();
                answer.extend(frame(0xF1, b"x"));
                s.write_all(&answer)?;
            } else {
                upgrade(head, s)?;
            }
            read_frame(s)?;
            match path {
                "/ws-masked" => s.write_all(&[0x81, 0x81, 1, 2, 3, 4, 5])?,
                "/ws-giant" => s.write_all(&[0x82, 127, 0, 0, 0, 9, 0, 0, 0, 0, 1, 2])?,
                "/ws-utf8" => s.write_all(&frame(0x81, &[0xC3, 0x28]))?,
                "/ws-reserved" => s.write_all(&frame(0xF1, b"x"))?,
                "/ws-close" => s.write_all(&frame(0x88, &[3, 233]))?,
                "/ws-reset" => reset(s),
                "/ws-silent" => sleep(Duration::from_secs(2)),
                "/ws-other" => {
                    for _ in 0..200 {
                        s.write_all(&frame(0x81, b"{\"id\":\"another\"}"))?;
                        sleep(Duration::from_millis(10));
                    }
                }
                _ => {}
            }
            // What it says is still to be read by the client.
            sleep(Duration::from_millis(50));
        }
    }
    Ok(false)
}

/// The errors of a session that does this, beside one that does what is right.
fn errors(name: &str, bad: Vec<Step>) -> String {
    errors_at(name, bad, serve(act), HttpVersion::Http1)
}

fn http(path: &'static str) -> Vec<Step> {
    vec![get(0, path)]
}

/// Some cases at a time: most of their time is waiting, but a small machine must keep up with all of them.
fn all(mut cases: Vec<(&'static str, Vec<Step>)>) -> String {
    let mut told = Vec::new();
    while !cases.is_empty() {
        let rest = cases.split_off(cases.len().min(4));
        let threads: Vec<_> =
            cases.into_iter().map(|(name, steps)| std::thread::spawn(move || errors(name, steps))).collect();
        told.extend(threads.into_iter().map(|t| t.join().unwrap()));
        cases = rest;
    }
    told.join("\n")
}

#[test]
fn a_request_that_is_reset_and_sent_again_is_no_error_but_told() {
    /// Requests that were heard, and those that were reset: every second one, which is the second of its connection.
    static HEARD: AtomicU64 = AtomicU64::new(0);
    static RESET: AtomicU64 = AtomicU64::new(0);
    fn act(_: &str, _: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if HEARD.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            RESET.fetch_add(1, Ordering::SeqCst);
            reset(s);
            return Ok(false);
        }
        ok(s, "{}")?;
        Ok(true)
    }
    let steps = vec![forever(None, vec![get(0, "/")])];
    let totals = run_until(plan(held(1), LONG_MS, steps), serve(act), |t| t.sum(|c| c.retried) >= 8);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    // The last one may not have been sent again any more.
    let (reset, retried) = (RESET.load(Ordering::SeqCst), totals.sum(|c| c.retried));
    assert!(retried >= 8 && (retried..=retried + 1).contains(&reset), "{reset} reset, {retried} sent again");
    assert_eq!(totals.sum(|c| c.replaced), 0, "none was found closed before");
}

#[test]
fn each_bad_answer_has_its_kind() {
    let mut keeps = request(0, "GET", "/huge");
    keeps.checks.push(Check::Json("$.x".to_owned(), JsonTest::NotEmpty));
    let mut checked = request(0, "GET", "/ok");
    checked.checks.push(Check::Json("$.x".to_owned(), JsonTest::NotEmpty));
    let mut cases: Vec<(&'static str, Vec<Step>)> = [
        "/reset",
        "/reset-half",
        "/half",
        "/half-head",
        "/half-chunk",
        "/close",
        "/bad-head",
        "/bad-length",
        "/two-lengths",
        "/bad-chunk",
        "/endless-head",
        "/many-fields",
        "/interim",
        "/silent",
        "/drip",
        "/500",
        "/reset-after",
    ]
    .into_iter()
    .map(|path| (path, http(path)))
    .collect();
    cases.push(("/huge", vec![Step::Request(Box::new(keeps))]));
    cases.push(("check", vec![Step::Request(Box::new(checked))]));
    insta::assert_snapshot!(all(cases), @r"
    /reset reset
    /reset-half reset
    /half closed-early
    /half-head closed-early
    /half-chunk closed-early
    /close closed-early
    /bad-head bad-head
    /bad-length bad-head
    /two-lengths bad-head
    /bad-chunk bad-chunk
    /endless-head too-large
    /many-fields bad-head
    /interim bad-head
    /silent timeout
    /drip timeout
    /500 status
    /reset-after -
    /huge too-large
    check check
    ");
}

#[test]
fn each_bad_websocket_has_its_kind() {
    let cases = [
        "/ws-refused",
        "/ws-wrong",
        "/ws-early",
        "/ws-masked",
        "/ws-giant",
        "/ws-utf8",
        "/ws-reserved",
        "/ws-close",
        "/ws-reset",
        "/ws-silent",
        "/ws-other",
        "/ws-gone",
    ];
    // Two of them do not answer.
    let within_ms = |path| if ["/ws-silent", "/ws-other"].contains(&path) { 150 } else { AMPLE_MS };
    let steps = |path| vec![connect(1, path), say(2, within_ms(path))];
    let cases = cases.into_iter().map(|path| (path, steps(path))).collect();
    insta::assert_snapshot!(all(cases), @r"
    /ws-refused ws-handshake
    /ws-wrong ws-handshake
    /ws-early ws-protocol
    /ws-masked ws-protocol
    /ws-giant too-large
    /ws-utf8 ws-utf8
    /ws-reserved ws-protocol
    /ws-close ws-closed
    /ws-reset reset
    /ws-silent timeout
    /ws-other timeout
    /ws-gone closed-early
    ");
}

#[test]
fn a_target_that_is_not_there_is_named_before_the_run() {
    // Bound, so that nobody else gets the port; but nobody listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let started =
        runtime().block_on(loadgen::Coordinator::start(options(plan(held(1), 100, http("/")), address, 1)));
    let told = started.unwrap_err().to_string().replace(&address.port().to_string(), "PORT");
    insta::assert_snapshot!(told, @"http://127.0.0.1:PORT cannot be reached: 127.0.0.1:PORT: Connection refused (os error 111)");
}
