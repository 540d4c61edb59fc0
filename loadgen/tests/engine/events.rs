//! Event streams: awaited and pushed events, their age, streams that end and are opened again, codings, TLS framing apart.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::common::*;
use crate::server::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use loadgen::LoadUpdate;
use scenarios::plan::*;
use timeline::clock::unix_ms;
use timeline::histogram;

/// How old the server's events are when it sends them, ms.
const AGE_MS: u64 = 40;
/// Between two events of a stream that ticks.
const TICK: Duration = Duration::from_millis(10);
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n";

fn tick() -> String {
    format!("event: tick\r\ndata: {{\"t\":{}}}\r\n\r\n", unix_ms() - AGE_MS)
}

/// All ticks of [`a_stream_has_all_its_figures`] were read.
static TICKED: AtomicBool = AtomicBool::new(false);

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    match path {
        "/ticks" => {
            // Two ticks before the awaited event, all in one portion with the head; two behind it.
            let order = "event: order\nid: 1\ndata: {\"id\":\"x\",\ndata: \"n\":1}\n\n";
            write!(s, "{HEAD}\r\n: hello\n\n{}{}{order}{}", tick(), tick(), tick())?;
            sleep(TICK);
            s.write_all(tick().as_bytes())?;
            idle(s)
        }
        "/chunks" => {
            write!(s, "{HEAD}Transfer-Encoding: chunked\r\n\r\n")?;
            // A chunk ends where it pleases.
            for byte in "data: in pieces\n\ndata: not whole".bytes() {
                write!(s, "1\r\n{}\r\n", byte as char)?;
            }
            idle(s)
        }
        "/gzip" => {
            assert_eq!(field(head, "Accept-Encoding"), Some("gzip, deflate"));
            write!(s, "{HEAD}Content-Encoding: gzip\r\n\r\n")?;
            let mut coder = GzEncoder::new(s, Compression::best());
            for data in ["one", "two", "three"] {
                write!(coder, "data: {data}\n\n")?;
                coder.flush()?;
                sleep(TICK);
            }
            idle(coder.get_mut())
        }
        "/again" => {
            assert_eq!(field(head, "Accept"), Some("text/event-stream"));
            let last = field(head, "Last-Event-ID");
            match last {
                None => write!(s, "{HEAD}\r\nretry: 20\nid: 1\ndata: first\n\ndata: never whole\n")?,
                Some("1") => {
                    write!(s, "{HEAD}Content-Length: 30\r\n\r\nid: zwei\u{e9}\nevent: b\ndata: 2\n\n ")?
                }
                Some("zwei\u{e9}") => s.write_all(b"HTTP/1.1 204 No\r\n\r\n")?,
                other => panic!("{other:?}"),
            }
            Ok(false)
        }
        "/gone" => {
            let status = if field(head, "Last-Event-ID").is_some() { "404 Gone" } else { "200 OK" };
            write!(s, "HTTP/1.1 {status}\r\nContent-Type: text/event-stream\r\n\r\nretry:20\nid:1\n\n")?;
            Ok(false)
        }
        "/ok" | "/x" => ok(s, "{}"),
        "/when-all-is-read" => {
            until(|| TICKED.load(Ordering::SeqCst));
            ok(s, "{}")
        }
        other => panic!("{other}"),
    }
}

fn open(path: &str, options: StreamOptions) -> Step {
    let headers = Vec::new();
    Step::OpenEvents(Box::new(OpenEvents { id: StepId(0), path: text(path), headers, options }))
}

fn awaits(id: u16, kind: Option<&str>, what: Option<Awaited>) -> Step {
    judges(id, kind, what, Judgement::default())
}

fn judges(id: u16, kind: Option<&str>, what: Option<Awaited>, judgement: Judgement) -> Step {
    let kind = kind.map(str::to_owned);
    let within_ns = AMPLE_MS * MS;
    Step::AwaitEvent(Box::new(AwaitEvent { id: StepId(id), kind, what, judgement, within_ns }))
}

/// Awaits what does not come.
fn in_vain(step: Step) -> Step {
    let Step::AwaitEvent(mut step) = step else { unreachable!() };
    step.within_ns = 500 * MS;
    Step::AwaitEvent(step)
}

fn contains(data: &str) -> Option<Awaited> {
    Some(Awaited::Contains(text(data)))
}

/// Ten sessions that do this.
fn ten(steps: Vec<Step>) -> RunPlan {
    plan(once(10), LONG_MS, steps)
}

/// A pause that is over when the stream has failed, and only then.
fn until_it_fails() -> Step {
    think(AMPLE_MS)
}

#[test]
fn an_awaited_event_is_checked_and_kept_for_later_steps() {
    let number = |n| Check::Json("$.n".to_owned(), JsonTest::Equals(n));
    let kept = Judgement {
        checks: vec![number(1.into())],
        saves: vec![Save { slot: Slot(0), from: Capture::Json("$.id".to_owned()), pick: Pick::First }],
    };
    let other = Judgement { checks: vec![number(2.into())], saves: Vec::new() };
    let Step::Request(mut asks) = get(2, "/ok") else { unreachable!() };
    asks.path = Template(vec![Part::Text("/".to_owned()), Part::Var(Slot(0))]);
    let mut plan = ten(vec![
        open("/ticks", StreamOptions::default()),
        judges(1, Some("order"), None, kept),
        open("/ticks", StreamOptions::default()),
        judges(3, Some("order"), None, other),
        Step::Request(asks),
    ]);
    plan.slots = 1;
    let totals = run(plan, serve(act), 1);
    assert_eq!(totals.errors(), [("check", 10)].into());
    assert_eq!(totals.finished[&2], 10, "the server knows no other path than /x: {:?}", totals.finished);
}

#[test]
fn a_stream_has_all_its_figures() {
    let options = StreamOptions { push_age: Some("$.t".to_owned()), ..StreamOptions::default() };
    let steps = vec![
        open("/ticks", options),
        awaits(1, Some("order"), Some(Awaited::JsonEquals("$.id".to_owned(), text("x")))),
        awaits(2, Some("tick"), Some(Awaited::JsonAny("$.t".to_owned()))),
        get(5, "/when-all-is-read"),
        Step::CloseEvents(StepId(3)),
        get(4, "/ok"),
    ];
    let totals = run_until(ten(steps), serve(act), opens(&TICKED, 40));
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!((0..6).all(|step| totals.finished[&step] == 10), "{:?}", totals.finished);
    assert_eq!(totals.response[&1].len(), 10);
    let sse = |of: fn(&loadgen::sse::figures::SseCounters) -> u64| totals.sum(|c| of(&c.sse));
    assert_eq!((sse(|s| s.opened), sse(|s| s.closed), sse(|s| s.reconnects)), (10, 10, 0));
    assert_eq!(
        totals.sum(|c| c.pushed),
        40,
        "two ticks before the order, of which one is awaited later, two behind it"
    );
    assert_eq!((totals.sum(|c| c.ws.unstamped), totals.sum(|c| c.ws.pushed_bytes)), (0, 40 * 19));
    let mut age = histogram::new();
    for update in &totals.updates {
        if let LoadUpdate::Histograms(_, h) = update {
            h.ws.push_age.add_to(&mut age);
        }
    }
    assert_eq!(age.len(), 40);
    let lasted_us = totals.done[&0].at / 1000;
    assert!(age.min() >= 39_000 && age.max() < AGE_MS * 1000 + lasted_us, "{} us", age.max());
    let mut lanes = loadgen::lanes::Lanes::new(&[]);
    let readings: Vec<_> = totals.updates.iter().flat_map(|u| lanes.read(u)).collect();
    let told = format!("{readings:?}");
    for name in ["push-age", "pushed", "pushed-bytes", "open-event-streams", "sse-opened"] {
        assert!(told.contains(&format!("client.{name}\"")), "{name}");
    }
    assert!(!told.contains("websockets"), "a run without WebSockets has no lanes of theirs");
}

#[test]
fn a_stream_that_ends_is_opened_again_where_that_is_wanted() {
    let again = StreamOptions { reconnect: true, ..StreamOptions::default() };
    let steps = vec![
        open("/again", again.clone()),
        awaits(1, None, contains("first")),
        awaits(2, Some("b"), None),
        think(200),
        get(3, "/ok"),
    ];
    let totals = run(ten(steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!((0..4).all(|step| totals.finished[&step] == 10), "{:?}", totals.finished);
    let sse = |of: fn(&loadgen::sse::figures::SseCounters) -> u64| totals.sum(|c| of(&c.sse));
    assert_eq!((sse(|s| s.opened), sse(|s| s.closed), sse(|s| s.reconnects)), (20, 20, 20));
    assert_eq!(totals.sum(|c| c.pushed), 0, "what was not whole at the end is no event");
    assert!(totals.response[&2].min() >= 19_000, "the server asked for 20 ms: {}", totals.response[&2].min());

    // The stream is over, and an event that has not come is awaited all the same.
    let steps = vec![open("/again", again.clone()), think(100), awaits(1, Some("c"), None), get(2, "/ok")];
    let totals = run(ten(steps), serve(act), 1);
    assert_eq!(totals.errors().into_iter().collect::<Vec<_>>(), [("sse-closed", 10)]);
    assert_eq!(totals.finished.get(&2), None);

    // What comes instead of the stream is no stream: that is said once, and the session ends.
    let totals = run(ten(vec![open("/gone", again), until_it_fails(), get(1, "/ok")]), serve(act), 1);
    assert_eq!(totals.errors().into_iter().collect::<Vec<_>>(), [("sse-handshake", 10)]);
    assert_eq!((totals.finished.get(&1), totals.sum(|c| c.sse.reconnects)), (None, 10));

    // Not wanted: its end is the session's.
    let steps = vec![open("/gone", StreamOptions::default()), until_it_fails(), get(1, "/ok")];
    let totals = run(ten(steps), serve(act), 1);
    assert_eq!(totals.errors().into_iter().collect::<Vec<_>>(), [("sse-closed", 10)]);
    assert_eq!(totals.finished.get(&1), None);
}

#[test]
fn an_event_that_comes_before_it_is_awaited_is_kept_and_taken_once() {
    static READ: AtomicBool = AtomicBool::new(false);
    fn act(path: &str, _: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if path == "/orders" {
            // The events are read while this is waited for.
            until(|| READ.load(Ordering::SeqCst));
            return ok(s, "{}");
        }
        write!(s, "{HEAD}\r\n")?;
        write!(s, "event: order\ndata: {{\"id\":\"x\"}}\n\nevent: paid\ndata: x\n\n")?;
        idle(s)
    }
    let mine = || Some(Awaited::JsonEquals("$.id".to_owned(), text("x")));
    let steps = vec![
        open("/feed", StreamOptions::default()),
        get(1, "/orders"),
        awaits(2, Some("paid"), None),
        awaits(3, Some("order"), mine()),
        in_vain(awaits(4, Some("order"), mine())),
    ];
    let totals = run_until(ten(steps), serve(act), opens(&READ, 20));
    // Nothing but the second order is missed: there is only one.
    assert_eq!(totals.errors().into_iter().collect::<Vec<_>>(), [("timeout", 10)]);
    assert!((0..5).all(|step| totals.finished[&step] == 10), "{:?}", totals.finished);
    assert_eq!(totals.sum(|c| c.pushed), 20, "nobody waited for them when they came");
}

#[test]
fn a_server_that_is_away_is_tried_again_and_each_try_is_counted() {
    /// Gives one event, and then closes without an answer.
    fn shut(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if field(head, "Last-Event-ID").is_none() {
            write!(s, "{HEAD}\r\nretry: 30\nid: 1\ndata: x\n\n")?;
        }
        Ok(false)
    }
    let again = StreamOptions { reconnect: true, ..StreamOptions::default() };
    let plan = plan(held(1), LONG_MS, vec![open("/", again), think(LONG_MS)]);
    let totals = run_until(plan, serve(shut), |t| t.sum(|c| c.sse.reconnects) >= 5);
    let (tries, errors) = (totals.sum(|c| c.sse.reconnects), totals.errors());
    let lasted = totals.done[&0].at / MS;
    assert!((5..=lasted / 30).contains(&tries), "{tries} tries of at least 30 ms in {lasted} ms");
    assert_eq!(errors.keys().copied().collect::<Vec<_>>(), ["closed-early"]);
    assert!(errors["closed-early"].abs_diff(tries) <= 1, "{errors:?} of {tries}");
    assert_eq!(totals.sum(|c| c.sse.opened), 1);
}

#[test]
fn events_come_out_of_chunks_and_codings_as_they_come_in() {
    let steps = vec![
        open("/chunks", StreamOptions::default()),
        awaits(1, Some("message"), Some(Awaited::Regex("^in pieces$".to_owned()))),
        open("/gzip", StreamOptions::default()),
        awaits(2, None, contains("one")),
        awaits(3, None, contains("three")),
        Step::CloseEvents(StepId(4)),
    ];
    let mut plan = ten(steps);
    plan.transport.compression = true;
    let totals = run(plan, serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!((1..5).all(|step| totals.finished[&step] == 10), "{:?}", totals.finished);
    assert_eq!(totals.sum(|c| c.pushed), 10, "the one between the two that were awaited");
    assert_eq!(totals.sum(|c| c.sse.opened), 20);
    assert_eq!(totals.sum(|c| c.sse.closed), 20, "the second one closed the first");
}

#[test]
fn a_stream_beside_a_websocket_and_requests() {
    /// Ticks that were read, as far as that was told.
    static READ: AtomicU64 = AtomicU64::new(0);
    /// Waits until more ticks are read: so many that they were not there before.
    fn more_is_read() {
        let before = READ.load(Ordering::SeqCst);
        until(|| READ.load(Ordering::SeqCst) >= before.saturating_add(60));
    }
    fn both(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        match path {
            "/ws" => {
                upgrade(head, s)?;
                until_closed(s, |s, kind, payload| {
                    more_is_read();
                    s.write_all(&frame(0x80 | kind, payload))
                })
            }
            "/slow" => {
                more_is_read();
                ok(s, "{}")
            }
            _ => {
                write!(s, "{HEAD}\r\n")?;
                while s.write_all(tick().as_bytes()).is_ok() {
                    sleep(TICK);
                }
                Ok(false)
            }
        }
    }
    let options = StreamOptions { push_age: Some("$.t".to_owned()), ..StreamOptions::default() };
    let turn = vec![say(2, AMPLE_MS), get(3, "/slow"), awaits(4, Some("tick"), None)];
    let steps = vec![open("/ticks", options), connect(1, "/ws"), forever(Some(150), turn)];
    // Read while other steps wait, not when they are over: nothing would go on.
    let totals = run_until(plan(held(3), LONG_MS, steps), serve(both), |t| {
        let enough = t.sum(|c| c.completed) >= 3 * (2 + 3 * 4);
        // Behind the stop nothing is told any more, and what is in flight is to end.
        READ.store(if enough { u64::MAX } else { t.sum(|c| c.pushed) }, Ordering::SeqCst);
        enough
    });
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!((0..5).all(|step| totals.finished[&step] >= 3), "{:?}", totals.finished);
    let mut age = histogram::new();
    for update in &totals.updates {
        if let LoadUpdate::Histograms(_, h) = update {
            h.ws.push_age.add_to(&mut age);
        }
    }
    assert!(age.len() >= 60 && age.min() >= 39_000, "{} from {} us", age.len(), age.min());
}
