//! The Autobahn cases, served by the Python package `kosoku`, against the sessions of a real worker that echo.
//!
//! Needs the packages of Python that `./test` installs; where they are missing this fails. Left out are the cases that only
//! repeat others with larger messages: most of 12 and 13 (a thousand messages each), and the largest of 9.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;
#[path = "../../tests/readers/python.rs"]
mod python;
#[path = "common/server.rs"]
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use loadgen::{Coordinator, LoadUpdate};
use scenarios::plan::*;

/// Cases are begun at this rate, per second, so that few run at a time on a small machine.
const BEGUN_PER_S: f64 = 60.0;
/// What a session accepts: the largest message of the cases.
const MESSAGE_MAX: u32 = 16 << 20;

/// The fuzzing server, ended with the test.
struct Fuzzer(Child);

impl Drop for Fuzzer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A text message that the server sends right after the handshake, if it sends one.
fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let key = loadgen::ws::handshake::key([7; 16]);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    .unwrap();
    server::read_head(&mut stream).unwrap();
    let mut frame = [0; 2];
    if stream.read_exact(&mut frame).is_err() || frame[0] != 0x81 {
        return String::new();
    }
    let mut text = vec![0; usize::from(frame[1])];
    stream.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// A plan of one session for each case: it connects, and sends back whatever comes.
fn echoes(cases: usize, deflate: Deflate) -> RunPlan {
    let Step::Connect(mut open) = connect(0, "") else { unreachable!() };
    open.path = Template(vec![
        Part::Text("/runCase?agent=dyno&case=".to_owned()),
        Part::Column { feeder: 0, column: 0 },
    ]);
    open.options = SocketOptions {
        max_message: Some(MESSAGE_MAX),
        deflate: Some(deflate),
        echo: true,
        ..SocketOptions::default()
    };
    let model = Model::Arrivals { from: BEGUN_PER_S, to: BEGUN_PER_S };
    let ms = (cases as f64 / BEGUN_PER_S * 1000.0).ceil() as u64;
    let mut plan = plan(model, ms, vec![Step::Connect(open), think(300_000)]);
    plan.phases.push(Phase {
        name: "wait".to_owned(),
        length_ns: 300_000 * MS,
        model: Model::Arrivals { from: 0.0, to: 0.0 },
        warmup: false,
    });
    plan.timeout_ns = 10_000 * MS;
    let rows = (1..=cases).map(|n| vec![n.to_string()]).collect();
    plan.feeders =
        vec![Feeder { name: "cases".into(), columns: vec!["case".into()], rows, order: Order::Unique }];
    plan
}

/// Runs cases, all of which must be passed; gives back how many there were.
fn pass(python: &Path, which: &str, listed: &[String], deflate: Deflate) -> usize {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/autobahn/server.py");
    let mut child =
        Command::new(python).args([script, which]).args(listed).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _fuzzer = Fuzzer(child);
    let port: u16 = lines.next().unwrap().unwrap().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let cases: usize = ask(address, "/getCaseCount").parse().unwrap();
    runtime().block_on(async {
        let mut coordinator = Coordinator::start(options(echoes(cases, deflate), address, 1)).await.unwrap();
        while let Some(update) = coordinator.next().await {
            match update {
                LoadUpdate::Counters(_, c) if c.ws.closed as usize == cases => coordinator.stop(),
                LoadUpdate::Lost { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    });
    ask(address, "/updateReports?agent=dyno");
    let told: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(told, [format!("DONE {cases} 0")]);
    cases
}

/// The cases that are left out: from the third size on in 12 and 13, from the second on in 9.1 to 9.4.
fn excluded() -> Vec<String> {
    let of_12 = (1..=5).flat_map(|group| (3..=18).map(move |n| format!("12.{group}.{n}")));
    let of_13 = (1..=7).flat_map(|group| (3..=18).map(move |n| format!("13.{group}.{n}")));
    let of_9 = (1..=4).flat_map(|group| (2..=9).map(move |n| format!("9.{group}.{n}")));
    of_12.chain(of_13).chain(of_9).collect()
}

/// Cases in which the server wants no context takeover of ours, and believes only who offered that.
fn without_takeover() -> Vec<String> {
    [2, 5, 6].into_iter().flat_map(|group| (1..=2).map(move |n| format!("13.{group}.{n}"))).collect()
}

#[test]
fn every_case_is_passed() {
    let python = python::with_packages();
    let fresh = Deflate { client_no_context_takeover: true, ..Deflate::default() };
    assert_eq!(pass(&python, "only", &without_takeover(), fresh), 6);
    let left_out = [excluded(), without_takeover()].concat();
    assert!(pass(&python, "without", &left_out, Deflate::default()) > 250);
}
