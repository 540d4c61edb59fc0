//! WebSocket conversations: awaited and pushed messages, push age, ping round trips, close codes, hostile servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::common::*;
use crate::server::*;
use loadgen::LoadUpdate;
use loadgen::protocol::Counters;
use loadgen::ws::figures::{LOST, NO_CODE};
use scenarios::plan::*;
use timeline::clock::unix_ms;
use timeline::histogram::{self, Histogram};

/// How old the server's pushed messages are when it sends them, ms.
const AGE_MS: u64 = 40;

/// What was said below `/said/`, and where.
static SAID: Mutex<Vec<(String, Vec<u8>)>> = Mutex::new(Vec::new());

/// Messages that `/flood` has got rid of.
static FLOODED: AtomicU64 = AtomicU64::new(0);

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    let mut hello = upgraded(head).into_bytes();
    if path == "/talk" {
        // Two awaited messages in one portion with the handshake.
        hello.extend(frame(0x81, b"{\"op\":\"joined\"}"));
        hello.extend(frame(0x81, b"roster of 3"));
    }
    s.write_all(&hello)?;
    match path {
        "/pings" => while s.write_all(&frame(0x89, &[7; 125])).is_ok() {},
        "/fragments" => {
            s.write_all(&frame(0x01, b"x"))?;
            while s.write_all(&frame(0x00, &[b'x'; 100])).is_ok() {}
        }
        "/half-close" => s.write_all(&frame(0x88, &[3]))?,
        "/close-frame-cut" => s.write_all(&[0x88, 5, 3])?,
        "/no-code" => s.write_all(&frame(0x88, &[]))?,
        "/early-close" => s.write_all(&frame(0x88, &4001u16.to_be_bytes()))?,
        "/utf8" => s.write_all(&[0x81, 126, 1, 0, 0xFF])?,
        "/deaf" => return idle(s),
        "/flood" => {
            // More than both sides' buffers hold: it gets through only if the other side reads.
            let payload = [b'x'; 60_000];
            let mut message = vec![0x81, 126];
            message.extend(60_000_u16.to_be_bytes());
            message.extend(payload);
            while s.write_all(&message).is_ok() {
                FLOODED.fetch_add(1, Ordering::Relaxed);
            }
        }
        "/hangs-up" => drop(read_frame(s)?),
        _ if path.starts_with("/said/") => {
            return until_closed(s, |s, kind, payload| {
                if kind != 1 {
                    return Ok(());
                }
                SAID.lock().unwrap().push((path.to_owned(), payload.to_vec()));
                s.write_all(&frame(0x81, payload))?;
                if path == "/said/with-pings" { s.write_all(&frame(0x89, b"there?")) } else { Ok(()) }
            });
        }
        _ if path.starts_with("/pieces?") => {
            // The frames of one message: the opcode and the length of each.
            let (mut frames, mut whole) = (Vec::new(), Vec::new());
            while whole.len() < 10 {
                let (opcode, payload) = read_frame(s)?;
                frames.push(format!("{opcode}:{}", payload.len()));
                whole.extend(payload);
            }
            assert_eq!(
                (format!("/pieces?{}", frames.join(",")).as_str(), &whole[..]),
                (path, &b"0123456789"[..])
            );
            s.write_all(&frame(0x81, b"seen"))?;
            return until_closed(s, echo);
        }
        _ => return until_closed(s, echo),
    }
    sleep(Duration::from_millis(100));
    Ok(false)
}

/// Answers pings; what is said comes back as it came, behind a stamped push.
fn echo(s: &mut TcpStream, kind: u8, payload: &[u8]) -> std::io::Result<()> {
    match kind {
        9 => s.write_all(&frame(0x8A, payload)),
        10 => Ok(()),
        _ => {
            let push = format!("{{\"t\":{}}}", unix_ms() - AGE_MS);
            s.write_all(&frame(0x81, push.as_bytes()))?;
            s.write_all(&frame(0x80 | kind, payload))
        }
    }
}

fn open(path: &str, options: SocketOptions) -> Step {
    let Step::Connect(mut step) = connect(0, path) else { unreachable!() };
    step.options = options;
    Step::Connect(step)
}

fn waits(what: Awaited, judgement: Judgement, within_ms: u64) -> Await {
    Await { what, judgement, within_ns: within_ms * MS }
}

fn exchange(id: u16, payload: Payload, what: Awaited) -> Step {
    exchange_within(id, payload, what, AMPLE_MS)
}

fn exchange_within(id: u16, payload: Payload, what: Awaited, within_ms: u64) -> Step {
    let wait = Some(waits(what, Judgement::default(), within_ms));
    Step::Send(Box::new(Send { id: StepId(id), payload, wait }))
}

fn awaits(id: u16, what: &str) -> Step {
    exchange(id, Payload::Nothing, Awaited::Contains(text(what)))
}

/// Awaits what does not come.
fn awaits_in_vain(id: u16, what: &str) -> Step {
    exchange_within(id, Payload::Nothing, Awaited::Contains(text(what)), 500)
}

/// A message that is answered by none.
fn tells(id: u16, what: Template) -> Step {
    Step::Send(Box::new(Send { id: StepId(id), payload: Payload::Text(what), wait: None }))
}

/// Five sessions that do this.
fn five(steps: Vec<Step>) -> RunPlan {
    plan(once(5), LONG_MS, steps)
}

fn merged(totals: &Totals, of: fn(&loadgen::protocol::Histograms) -> &histogram::Sparse) -> Histogram {
    let mut all = histogram::new();
    for update in &totals.updates {
        if let LoadUpdate::Histograms(_, h) = update {
            of(h).add_to(&mut all);
        }
    }
    all
}

#[test]
fn a_conversation_has_all_its_figures() {
    let options = SocketOptions {
        push_age: Some("$.t".to_owned()),
        ping_every_ns: Some(50 * MS),
        ..SocketOptions::default()
    };
    let steps = vec![
        open("/talk", options),
        exchange(1, Payload::Nothing, Awaited::JsonAny("$.op".to_owned())),
        exchange(2, Payload::Nothing, Awaited::Regex("^roster of [0-9]$".to_owned())),
        exchange(3, Payload::Binary(vec![1, 2, 3]), Awaited::Binary),
        exchange(4, Payload::Text(text("well")), Awaited::Contains(text("el"))),
        think(400),
        close(5),
    ];
    let totals = run(plan(once(10), LONG_MS, steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!((0..4).all(|step| totals.finished[&step] == 10), "{:?}", totals.finished);
    let ws = |of: fn(&loadgen::ws::figures::WsCounters) -> u64| totals.sum(|c| of(&c.ws));
    assert_eq!((ws(|w| w.opened), ws(|w| w.closed), ws(|w| w.of_code(1000))), (10, 10, 10));
    assert_eq!(totals.sum(|c| c.pushed), 20, "a stamped push before each of two answers");
    assert_eq!((ws(|w| w.unstamped), ws(|w| w.pushed_bytes)), (0, 20 * 19));
    let (age, rtt) = (merged(&totals, |h| &h.ws.push_age), merged(&totals, |h| &h.ws.ping_rtt));
    assert_eq!(age.len(), 20);
    let lasted_us = totals.done[&0].at / 1000;
    assert!(age.min() >= 39_000 && age.max() < AGE_MS * 1000 + lasted_us, "{} us", age.max());
    // The server's pong lies in front of its close frame, and each session has paused for longer than between two pings.
    assert!(rtt.len() >= 10 && rtt.len() == ws(|w| w.pings), "{} of {}", rtt.len(), ws(|w| w.pings));
    assert!(rtt.max() < lasted_us, "{} us", rtt.max());
    let mut lanes = loadgen::lanes::Lanes::new(&[]);
    let readings: Vec<_> = totals.updates.iter().flat_map(|u| lanes.read(u)).collect();
    let told = format!("{readings:?}");
    for name in ["push-age", "ping-rtt", "ws-closes", "ws-opened", "open-websockets", "pushed-bytes"] {
        assert!(told.contains(&format!("client.{name}")), "{name}");
    }
}

#[test]
fn what_a_session_says_follows_from_the_seed_whatever_it_has_to_answer() {
    let said = |path: &str| -> Vec<Vec<u8>> {
        // A ping is answered in the pause behind it.
        let mut steps = vec![connect(0, path)];
        (1..4).for_each(|id| steps.extend([say(id, AMPLE_MS), think(30)]));
        steps.push(close(4));
        let totals = run(plan(once(1), LONG_MS, steps), serve(act), 1);
        assert!(totals.errors().is_empty() && totals.finished[&4] == 1, "{:?}", totals.errors());
        let all = SAID.lock().unwrap();
        all.iter().filter(|(at, _)| at == path).map(|(_, what)| what.clone()).collect()
    };
    let quiet = said("/said/quietly");
    assert!(quiet.len() == 3 && quiet[0] != quiet[1]);
    assert_eq!(said("/said/with-pings"), quiet);
}

#[test]
fn a_session_may_close_with_a_code_of_its_own() {
    let steps = vec![connect(0, "/echo"), Step::Close(Close { id: StepId(1), code: 4001 })];
    let totals = run(five(steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&1], totals.sum(|c| c.ws.of_code(4001))), (5, 5), "the server sends it back");
}

#[test]
fn how_long_a_server_takes_to_close_is_no_lateness() {
    const GOODBYE_MS: u64 = 300;
    fn act(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        upgrade(head, s)?;
        loop {
            let (kind, payload) = read_frame(s)?;
            if kind == 8 {
                sleep(Duration::from_millis(GOODBYE_MS));
                s.write_all(&frame(0x88, &payload))?;
                return Ok(false);
            }
        }
    }
    // Who connects again says goodbye to the WebSocket before.
    let totals = run(five(vec![connect(0, "/ws"), connect(1, "/ws")]), serve(act), 1);
    assert!(totals.errors().is_empty() && totals.finished[&1] == 5, "{:?}", totals.errors());
    let lateness = totals.lateness();
    let sixth = lateness.value_at_quantile(0.55);
    assert!(lateness.len() == 10 && sixth < GOODBYE_MS * 1000 / 2, "{sixth} us, {} steps", lateness.len());
    // It is in the response time, which counts from the intended start.
    let soonest = totals.response[&1].min();
    assert!(soonest >= (GOODBYE_MS - 5) * 1000, "{soonest} us");
}

#[test]
fn a_message_that_is_longer_than_a_frame_may_be_goes_out_in_fragments() {
    let framed = |path: &str, max_frame| {
        let options = SocketOptions { max_frame, ..SocketOptions::default() };
        let what = Awaited::Contains(text("seen"));
        let steps = vec![open(path, options), exchange(1, Payload::Text(text("0123456789")), what)];
        let totals = run(five(steps), serve(act), 1);
        (totals.errors(), totals.finished[&1])
    };
    assert_eq!(framed("/pieces?1:4,0:4,0:2", Some(4)), ([].into(), 5));
    assert_eq!(framed("/pieces?1:5,0:5", Some(5)), ([].into(), 5));
    assert_eq!(framed("/pieces?1:10", Some(10)), ([].into(), 5));
    assert_eq!(framed("/pieces?1:10", None), ([].into(), 5));
}

#[test]
fn what_is_ignored_is_not_read_and_what_is_listened_to_is() {
    fn flooded(step: Step, mut enough: impl FnMut(&Counters) -> bool) {
        let plan = plan(held(1), LONG_MS, vec![connect(0, "/flood"), step]);
        let totals = run_until(plan, serve(act), |t| t.counters.get(&0).is_some_and(&mut enough));
        assert!(totals.done[&0].at < LONG_MS * MS, "{:?}", totals.counters);
    }
    // There is something to be read for half a second: more than came with the handshake.
    let (mut since, mut unasked) = (None, 0);
    flooded(Step::Ignore(Dist::Constant(LONG_MS * MS)), |c| {
        if FLOODED.load(Ordering::Relaxed) < 2 {
            return false;
        }
        unasked = c.pushed;
        c.at >= *since.get_or_insert(c.at) + 500 * MS
    });
    assert_eq!(unasked, 0, "messages were read while they were ignored");
    // 60 MB get through only to one that reads.
    flooded(Step::Listen(Dist::Constant(LONG_MS * MS)), |c| c.pushed >= 1_000);
}

/// A text, and the same text as its answer, of which this must hold and is kept.
fn says(id: u16, what: Template, judgement: Judgement) -> Step {
    let wait = Some(waits(Awaited::Regex("^[-\\[]".to_owned()), judgement, AMPLE_MS));
    Step::Send(Box::new(Send { id: StepId(id), payload: Payload::Text(what), wait }))
}

#[test]
fn an_awaited_message_is_checked_and_kept_for_later_steps() {
    let save = |slot, from| Save { slot: Slot(slot), from, pick: Pick::First };
    let json = |path: &str, test| Check::Json(path.to_owned(), test);
    let kept = Judgement {
        checks: vec![
            json("$[1]", JsonTest::Number(Compare::AtLeast, 7.0)),
            Check::Size(Compare::Less, 100),
            Check::Body(TextTest::Contains("room".to_owned())),
        ],
        saves: vec![
            save(0, Capture::Json("$[1]".to_owned())),
            save(1, Capture::Regex("room-([0-9]+)".to_owned())),
        ],
    };
    let of_both = Template(vec![
        Part::Text("-kept ".to_owned()),
        Part::Var(Slot(0)),
        Part::Text(" and ".to_owned()),
        Part::Var(Slot(1)),
    ]);
    let is = |what: &str| Judgement {
        checks: vec![Check::Body(TextTest::Equals(what.to_owned()))],
        saves: vec![save(2, Capture::Body)],
    };
    let steps = vec![
        connect(0, "/echo"),
        says(1, text("[\"room-12\",7]"), kept),
        says(2, of_both, is("-kept 7 and 12")),
        says(3, text("-other"), is("-kept 7 and 12")),
        // A failed check keeps what there was, and ends no session.
        says(4, Template(vec![Part::Var(Slot(2))]), is("-other")),
        says(
            5,
            text("-short"),
            Judgement { checks: vec![Check::Size(Compare::Less, 6)], ..Judgement::default() },
        ),
    ];
    let mut plan = five(steps);
    plan.slots = 3;
    let totals = run(plan, serve(act), 1);
    assert_eq!(totals.errors(), [("check", 10)].into());
    assert!((0..6).all(|step| totals.finished[&step] == 5), "{:?}", totals.finished);
}

#[test]
fn what_was_sent_is_awaited_in_base64_too() {
    let coded = || Template(vec![Part::Base64(Template(vec![Part::Sent("id".to_owned())]))]);
    let said = || Payload::Text(text(r#"{"id":"seven","code":"c2V2ZW4="}"#));
    let steps = vec![
        connect(0, "/echo"),
        exchange(1, said(), Awaited::Contains(coded())),
        exchange(2, said(), Awaited::JsonEquals("$.code".to_owned(), coded())),
    ];
    let totals = run(five(steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&1], totals.finished[&2]), (5, 5));
    assert_eq!(totals.sum(|c| c.pushed), 10, "what is pushed before each of two answers is none");
}

#[test]
fn a_message_that_came_before_its_step_is_checked_like_any_other() {
    let joined = Judgement {
        checks: Vec::new(),
        saves: vec![Save { slot: Slot(0), from: Capture::Json("$.op".to_owned()), pick: Pick::First }],
    };
    let wait = Some(waits(Awaited::JsonAny("$.op".to_owned()), joined, AMPLE_MS));
    let is_kept =
        Judgement { checks: vec![Check::Body(TextTest::Equals("-joined".to_owned()))], saves: Vec::new() };
    let kept = Template(vec![Part::Text("-".to_owned()), Part::Var(Slot(0))]);
    let mut plan = five(vec![
        connect(0, "/talk"),
        think(100),
        Step::Send(Box::new(Send { id: StepId(1), payload: Payload::Nothing, wait })),
        says(2, kept, is_kept),
    ]);
    plan.slots = 1;
    let totals = run(plan, serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!(totals.finished[&2], 5);
}

#[test]
fn a_server_may_be_expected_to_hang_up_and_the_session_goes_on() {
    let steps = vec![
        connect(0, "/hangs-up"),
        exchange(1, Payload::Text(text("too much")), Awaited::Closed),
        connect(2, "/talk"),
        exchange(3, Payload::Text(text("well")), Awaited::Contains(text("el"))),
    ];
    let totals = run(plan(once(10), LONG_MS, steps), serve(act), 1);
    assert!((0..4).all(|step| totals.finished[&step] == 10), "{:?}", totals.finished);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());

    let in_vain = exchange_within(1, Payload::Text(text("well")), Awaited::Closed, 500);
    let totals = run(plan(once(1), LONG_MS, vec![connect(0, "/talk"), in_vain]), serve(act), 1);
    assert_eq!(totals.errors(), [("timeout", 1)].into());
}

#[test]
fn a_hostile_server_gets_a_kind_and_a_code() {
    let mut told = Vec::new();
    for path in [
        "/pings",
        "/fragments",
        "/half-close",
        "/close-frame-cut",
        "/no-code",
        "/early-close",
        "/utf8",
        "/deaf",
    ] {
        // Those two end nothing by themselves, and do not let the session end it in order.
        let endless = ["/pings", "/deaf"].contains(&path);
        let pause = think(if endless { 150 } else { AMPLE_MS });
        let mut plan = plan(once(2), LONG_MS, vec![open(path, SocketOptions::default()), pause, close(1)]);
        if endless {
            plan.timeout_ns = 5000 * MS;
        }
        let totals = run(plan, serve(act), 1);
        let codes: Vec<u16> = totals.counters.values().flat_map(|c| c.ws.codes.iter().map(|c| c.0)).collect();
        let kinds: Vec<&str> = totals.errors().into_keys().collect();
        told.push(format!("{path} {} {codes:?}", kinds.join(" ")));
    }
    assert_eq!((NO_CODE, LOST), (1005, 1006));
    insta::assert_snapshot!(told.join("\n"), @r"
    /pings timeout [1006]
    /fragments too-large [1009]
    /half-close ws-protocol [1002]
    /close-frame-cut closed-early [1006]
    /no-code ws-closed [1005]
    /early-close ws-closed [4001]
    /utf8 ws-utf8 [1007]
    /deaf timeout [1006]
    ");
}

#[test]
fn a_message_that_comes_before_it_is_awaited_is_kept_and_taken_once() {
    static READ: AtomicBool = AtomicBool::new(false);
    fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if path == "/orders" {
            // The messages are read while this is waited for.
            until(|| READ.load(Ordering::SeqCst));
            return ok(s, "{}");
        }
        upgrade(head, s)?;
        s.write_all(&[frame(0x82, b"bytes"), frame(0x81, b"order 7"), frame(0x81, b"paid 7")].concat())?;
        until_closed(s, |_, _, _| Ok(()))
    }
    let steps = vec![
        connect(0, "/ws"),
        get(1, "/orders"),
        awaits(2, "paid"),
        awaits(3, "order"),
        exchange(4, Payload::Nothing, Awaited::Binary),
        awaits_in_vain(5, "order"),
    ];
    let totals = run_until(five(steps), serve(act), opens(&READ, 15));
    // Nothing but the second order is missed: there is only one.
    assert_eq!(totals.errors().into_iter().collect::<Vec<_>>(), [("timeout", 5)]);
    assert!((0..6).all(|step| totals.finished[&step] == 5), "{:?}", totals.finished);
    assert_eq!(totals.sum(|c| c.pushed), 15, "nobody waited for them when they came");
}

#[test]
fn answers_may_come_in_another_order() {
    fn act(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        upgrade(head, s)?;
        let (_, first) = read_frame(s)?;
        let (_, second) = read_frame(s)?;
        s.write_all(&[frame(0x81, &second), frame(0x81, &first)].concat())?;
        until_closed(s, |_, _, _| Ok(()))
    }
    let steps = vec![
        connect(0, "/ws"),
        tells(1, text("one")),
        tells(2, text("two")),
        awaits(3, "one"),
        awaits(4, "two"),
    ];
    let totals = run(five(steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&3], totals.finished[&4]), (5, 5));
}

#[test]
fn what_came_before_a_message_was_sent_is_no_answer_to_it() {
    const WORK_MS: u64 = 60;
    static READ: AtomicBool = AtomicBool::new(false);
    fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if path == "/when-it-is-read" {
            until(|| READ.load(Ordering::SeqCst));
            return ok(s, "{}");
        }
        let old = frame(0x81, b"reply of before");
        if path == "/with-the-handshake" {
            s.write_all(&[upgraded(head).into_bytes(), old].concat())?;
        } else {
            upgrade(head, s)?;
            s.write_all(&old)?;
        }
        until_closed(s, |s, _, _| {
            sleep(Duration::from_millis(WORK_MS));
            s.write_all(&frame(0x81, b"reply"))
        })
    }
    for (path, pause) in [("/with-the-handshake", think(0)), ("/later", get(3, "/when-it-is-read"))] {
        READ.store(false, Ordering::SeqCst);
        let asks = exchange(1, Payload::Text(text("ask")), Awaited::Contains(text("reply")));
        // Whoever only awaits may have the old one all the same.
        let steps = vec![connect(0, path), pause, asks, awaits(2, "of before")];
        let totals = run_until(five(steps), serve(act), opens(&READ, 5));
        assert!(totals.errors().is_empty(), "{path}: {:?}", totals.errors());
        assert_eq!((totals.finished[&1], totals.finished[&2]), (5, 5), "{path}");
        let soonest = totals.service[&1].min();
        assert!(soonest >= (WORK_MS - 5) * 1000, "{path}: {soonest} us");
    }
}

#[test]
fn what_the_other_side_does_not_read_does_not_pile_up() {
    const LONG: u32 = 6 << 20;
    /// All has been said, and the server begins to read.
    static ALL_SAID: AtomicBool = AtomicBool::new(false);
    /// What it has read, bytes, and whether that was all.
    static READ: AtomicU64 = AtomicU64::new(0);
    static OVER: AtomicBool = AtomicBool::new(false);
    fn act(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        upgrade(head, s)?;
        until(|| ALL_SAID.load(Ordering::SeqCst));
        let mut block = vec![0; 1 << 20];
        while let Ok(n @ 1..) = s.read(&mut block) {
            READ.fetch_add(n as u64, Ordering::SeqCst);
        }
        OVER.store(true, Ordering::SeqCst);
        Ok(false)
    }
    let mut steps = vec![connect(0, "/ws")];
    steps.extend((1..4).map(|id| tells(id, Template(vec![Part::Letters(LONG)]))));
    steps.push(think(LONG_MS));
    let mut plan = plan(held(1), LONG_MS, steps);
    plan.timeout_ns = 5000 * MS;
    let totals = run_until(plan, serve(act), |t| {
        ALL_SAID.fetch_or(t.sum(|c| c.completed) >= 4, Ordering::SeqCst);
        READ.load(Ordering::SeqCst) >= u64::from(LONG)
    });
    assert_eq!(totals.errors().into_keys().collect::<Vec<_>>(), ["timeout"]);
    assert!((1..4).all(|step| totals.finished[&step] == 1), "{:?}", totals.finished);
    assert!(until(|| OVER.load(Ordering::SeqCst)), "the session is over, and so is its connection");
    let read = READ.load(Ordering::SeqCst);
    // The first message went out whole in the end, and those that found it in their way not at all.
    assert!((u64::from(LONG)..u64::from(LONG) + 1000).contains(&read), "{read} bytes");
}

#[test]
fn pings_go_out_while_a_step_waits() {
    /// Round trips were told of: what is waited for may come.
    static TOLD: AtomicBool = AtomicBool::new(false);
    fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        let told = || TOLD.load(Ordering::SeqCst);
        match path {
            "/slow" => {
                until(told);
                ok(s, "{}")
            }
            "/events" => {
                write!(s, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
                until(told);
                s.write_all(b"data: x\n\n")?;
                idle(s)
            }
            _ => {
                upgrade(head, s)?;
                until_closed(s, |s, kind, payload| {
                    echo(s, kind, payload)?;
                    if told() { s.write_all(&frame(0x82, b"bytes")) } else { Ok(()) }
                })
            }
        }
    }
    let events = OpenEvents {
        id: StepId(1),
        path: text("/events"),
        headers: Vec::new(),
        options: StreamOptions::default(),
    };
    let event = AwaitEvent {
        id: StepId(2),
        kind: None,
        what: None,
        judgement: Judgement::default(),
        within_ns: AMPLE_MS * MS,
    };
    let cases = [
        vec![get(2, "/slow")],
        vec![Step::Parallel(Box::new(Parallel {
            requests: vec![request(2, "GET", "/slow")],
            connections: 1,
        }))],
        vec![exchange(2, Payload::Nothing, Awaited::Binary)],
        vec![Step::OpenEvents(Box::new(events)), Step::AwaitEvent(Box::new(event))],
    ];
    for (i, waits) in cases.into_iter().enumerate() {
        TOLD.store(false, Ordering::SeqCst);
        let options = SocketOptions { ping_every_ns: Some(50 * MS), ..SocketOptions::default() };
        let steps = [vec![open("/ws", options)], waits].concat();
        let rtt = |totals: &Totals| merged(totals, |h| &h.ws.ping_rtt).len();
        // Four for each session; had they not been read while the step waits, none would be there.
        let totals = run_until(five(steps), serve(act), |t| {
            TOLD.fetch_or(rtt(t) >= 5 * 4, Ordering::SeqCst);
            false
        });
        assert!(totals.errors().is_empty(), "case {i}: {:?}", totals.errors());
        assert_eq!(totals.finished[&2], 5, "case {i}");
        let pings = totals.sum(|c| c.ws.pings);
        assert!((5 * 4..=pings).contains(&rtt(&totals)), "case {i}: {} pongs to {pings} pings", rtt(&totals));
        let most = 5 * (totals.done[&0].at / (50 * MS));
        assert!(pings <= most, "case {i}: {pings} pings, and {most} were due");
    }
}

#[test]
fn the_answer_to_a_handshake_may_repeat_fields_and_set_cookies() {
    fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if path == "/in" {
            let known = field(head, "Cookie") == Some("sid=9");
            let status = if known { "200 OK" } else { "403 No" };
            write!(s, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        let lines = "Connection: keep-alive\r\nConnection: Upgrade\r\nSet-Cookie: sid=9; Path=/\r\n";
        s.write_all(upgraded(head).replace("Connection: Upgrade\r\n", lines).as_bytes())?;
        until_closed(s, |_, _, _| Ok(()))
    }
    let mut plan = five(vec![connect(0, "/ws"), get(1, "/in"), close(2)]);
    plan.transport.cookies = true;
    let totals = run(plan.clone(), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!(totals.finished[&1], 5);
    plan.transport.cookies = false;
    let totals = run(plan, serve(act), 1);
    assert_eq!(totals.errors().into_iter().collect::<Vec<_>>(), [("status", 5)]);
}

#[test]
fn nothing_is_sent_back_behind_our_own_close() {
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    static BEHIND: AtomicU64 = AtomicU64::new(0);
    static OVER: AtomicU64 = AtomicU64::new(0);
    fn act(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        // In one portion with the handshake, so that it is there before the close.
        s.write_all(&[upgraded(head).into_bytes(), frame(0x81, b"early")].concat())?;
        let mut heard = &BEFORE;
        while let Ok((kind, payload)) = read_frame(s) {
            if kind != 8 {
                heard.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            heard = &BEHIND;
            // On its way when the close came.
            s.write_all(&frame(0x81, b"late"))?;
            sleep(Duration::from_millis(20));
            s.write_all(&frame(0x88, &payload))?;
        }
        OVER.fetch_add(1, Ordering::Relaxed);
        Ok(false)
    }
    let options = SocketOptions { echo: true, ..SocketOptions::default() };
    let totals = run(five(vec![open("/ws", options), think(50), close(1)]), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&1], totals.sum(|c| c.pushed)), (5, 10));
    assert!(until(|| OVER.load(Ordering::Relaxed) == 5), "each connection has its end");
    assert_eq!((BEFORE.load(Ordering::Relaxed), BEHIND.load(Ordering::Relaxed)), (5, 0));
}
