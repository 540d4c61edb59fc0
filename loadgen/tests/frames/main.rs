//! A server of HTTP/2 that breaks it: frames are written byte by byte, since no library would.
//!
//! A `GET` is answered as it should be, so that the healthy session can be told from the other, which sends `POST`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

#[path = "../hostile/beside.rs"]
mod beside;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use beside::{all_of, errors_at};
use common::*;
use scenarios::plan::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, and `:status: 103` as a literal.
const OK: &[u8] = &[0x88];
const HINTS: &[u8] = &[0x48, 3, b'1', b'0', b'3'];
/// Bytes of frames that are written at once where there is no end of them.
const BATCH: usize = 64 << 10;

/// What is done to the stream of a `POST`; false: the connection is over.
type Act = fn(stream: u32, s: &mut TcpStream) -> std::io::Result<bool>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// Writes the same frame for ever; what the client says meanwhile is read, or not.
fn flood(s: &mut TcpStream, frame: &[u8], listens: bool) -> std::io::Result<bool> {
    if listens {
        let mut other = s.try_clone()?;
        thread::spawn(move || while other.read(&mut [0; BATCH]).is_ok_and(|n| n > 0) {});
    }
    let batch = frame.repeat(BATCH / frame.len());
    while s.write_all(&batch).is_ok() {}
    Ok(false)
}

fn serve(act: Act) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || converse(stream, act));
        }
    });
    address
}

fn converse(mut s: TcpStream, act: Act) -> std::io::Result<()> {
    s.set_nodelay(true)?;
    s.set_read_timeout(Some(Duration::from_secs(20)))?;
    s.set_write_timeout(Some(Duration::from_secs(20)))?;
    s.read_exact(&mut [0; 24])?;
    s.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        s.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        s.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] == 0 => s.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            HEADERS => {
                // The method stands in front, behind updates of the table's size: 0x82 for GET, 0x83 for POST.
                let method = payload.iter().find(|b| !(0x20..0x40).contains(*b));
                if method == Some(&0x82) {
                    s.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, OK))?;
                } else if !act(stream, &mut s)? {
                    // What it says is still to be read by the client.
                    thread::sleep(Duration::from_millis(50));
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

/// A header field that is not indexed: `x: yyy...`, 100 bytes.
fn field() -> Vec<u8> {
    [&[0, 1, b'x', 97][..], &[b'y'; 97]].concat()
}

/// Frames without end. Whether a step meets its own time limit before the limit on such frames is met depends on the machine.
const FLOODS: &[(&str, Act)] = &[
    ("settings flood", |_, s| flood(s, &frame(SETTINGS, 0, 0, &[]), true)),
    ("settings flood of the deaf", |_, s| flood(s, &frame(SETTINGS, 0, 0, &[]), false)),
    ("ping flood", |_, s| flood(s, &frame(PING, 0, 0, &[0; 8]), true)),
    ("unknown flood", |_, s| flood(s, &frame(0xEE, 0, 0, &[0; 100]), true)),
    ("hints flood", |n, s| flood(s, &frame(HEADERS, END_HEADERS, n, HINTS), true)),
    ("empty data flood", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, OK))?;
        flood(s, &frame(DATA, 0, n, &[]), true)
    }),
    ("continuation flood", |n, s| {
        s.write_all(&frame(HEADERS, 0, n, OK))?;
        flood(s, &frame(CONTINUATION, 0, n, &field()), true)
    }),
    ("empty continuation flood", |n, s| {
        s.write_all(&frame(HEADERS, 0, n, OK))?;
        flood(s, &frame(CONTINUATION, 0, n, &[]), true)
    }),
];

const ACTS: &[(&str, Act)] = &[
    ("giant head", |n, s| {
        let fields = field().repeat(150);
        s.write_all(&frame(HEADERS, 0, n, &[OK, &fields[..]].concat()))?;
        for i in 0..8 {
            s.write_all(&frame(CONTINUATION, if i == 7 { END_HEADERS } else { 0 }, n, &fields))?;
        }
        Ok(true)
    }),
    ("frame too long", |n, s| {
        s.write_all(&frame(DATA, 0, n, &vec![0; 20_000]))?;
        Ok(true)
    }),
    ("settings of 5 bytes", |_, s| {
        s.write_all(&frame(SETTINGS, 0, 0, &[0; 5]))?;
        Ok(true)
    }),
    ("window of 3 bytes", |n, s| {
        s.write_all(&frame(WINDOW_UPDATE, 0, n, &[0, 0, 1]))?;
        Ok(true)
    }),
    ("window overflow", |_, s| {
        s.write_all(&frame(WINDOW_UPDATE, 0, 0, &[0x7F, 0xFF, 0xFF, 0xFF]))?;
        Ok(true)
    }),
    ("data of no stream", |_, s| {
        s.write_all(&frame(DATA, 0, 99, b"x"))?;
        Ok(true)
    }),
    ("data before its head", |n, s| {
        s.write_all(&frame(DATA, END_STREAM, n, b"x"))?;
        Ok(true)
    }),
    ("not HPACK", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, &[0xFF; 40]))?;
        Ok(true)
    }),
    ("no status", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, n, &field()))?;
        Ok(true)
    }),
    ("less than its length", |n, s| {
        // `content-length: 9`
        let head = [OK, &[0x0F, 0x0D, 1, b'9']].concat();
        s.write_all(&frame(HEADERS, END_HEADERS, n, &head))?;
        s.write_all(&frame(DATA, END_STREAM, n, b"four"))?;
        Ok(true)
    }),
    ("pushed all the same", |n, s| {
        s.write_all(&frame(PUSH_PROMISE, END_HEADERS, n, &[0, 0, 0, 2, 0x82]))?;
        Ok(true)
    }),
    ("garbage", |_, s| {
        s.write_all(&[0xFF; 1000])?;
        Ok(true)
    }),
    ("half a frame", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, OK)[..7])?;
        Ok(false)
    }),
    ("half an answer", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, OK))?;
        s.write_all(&frame(DATA, 0, n, b"half"))?;
        Ok(false)
    }),
    ("connection reset", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, OK))?;
        thread::sleep(Duration::from_millis(20));
        server::reset(s);
        Ok(false)
    }),
    ("stream reset", |n, s| {
        s.write_all(&frame(RST_STREAM, 0, n, &[0, 0, 0, 2]))?;
        Ok(true)
    }),
    ("leaves at once", |_, s| {
        s.write_all(&frame(GOAWAY, 0, 0, &[0; 8]))?;
        Ok(false)
    }),
    ("drip", |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, OK))?;
        while s.write_all(&frame(DATA, 0, n, b"z")).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }),
    ("never", |_, _| Ok(true)),
];

fn case(&(name, act): &(&'static str, Act)) -> impl FnOnce() -> String + std::marker::Send + 'static {
    let bad = Step::Request(Box::new(request(0, "POST", "/bad")));
    move || errors_at(name, vec![bad], serve(act), HttpVersion::Http2)
}

#[test]
fn frames_that_break_http_2() {
    insta::assert_snapshot!(all_of(ACTS.iter().map(case).collect()));
}

#[test]
fn frames_without_end() {
    let told = all_of(FLOODS.iter().map(case).collect());
    for (line, (name, _)) in told.lines().zip(FLOODS) {
        let mut kinds = line.strip_prefix(name).unwrap().split_whitespace();
        assert!(kinds.all(|k| ["h2-protocol", "bad-head", "timeout"].contains(&k)), "{line}");
        assert!(line.len() > name.len() + 2, "{name} goes unnoticed");
    }
}

#[test]
fn data_without_end_that_minds_no_window() {
    let act: Act = |n, s| {
        s.write_all(&frame(HEADERS, END_HEADERS, n, OK))?;
        flood(s, &frame(DATA, 0, n, &[b'z'; 16 << 10]), true)
    };
    let mut kept = request(0, "POST", "/bad");
    kept.checks.push(Check::Body(TextTest::Contains("whole".to_owned())));
    let kept = move || {
        let told = errors_at("kept", vec![Step::Request(Box::new(kept))], serve(act), HttpVersion::Http2);
        // Which of the two limits is met first is a matter of timing.
        assert!(told.contains("too-large") || told.contains("h2-protocol"), "{told}");
        told
    };
    all_of(vec![kept]);
}

#[test]
fn a_server_that_never_says_its_settings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let _open: Vec<_> = listener.incoming().collect();
    });
    let mut plan = plan(held(2), 400, vec![forever(None, vec![get(0, "/ok")])]);
    plan.timeout_ns = 200 * MS;
    plan.transport.http = HttpVersion::Http2;
    let totals = run(plan, address, 1);
    assert_eq!(totals.errors().into_keys().collect::<Vec<_>>(), ["timeout"]);
}
