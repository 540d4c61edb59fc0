//! What of HTTP/1.1 goes beyond a plain request: redirects, cookies, compressed answers, `Expect`, odd framings.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::common::*;
use crate::server::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use scenarios::plan::*;

fn coded(s: &mut TcpStream, coding: &str, body: &[u8]) -> std::io::Result<bool> {
    write!(s, "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len())?;
    s.write_all(body)?;
    Ok(true)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::best());
    coder.write_all(body).unwrap();
    coder.finish().unwrap()
}

fn redirect(s: &mut TcpStream, status: u16, to: &str) -> std::io::Result<bool> {
    write!(s, "HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")?;
    Ok(true)
}

/// Answers 200 if what came is right, and 400 if it is not.
fn verdict(s: &mut TcpStream, right: bool) -> std::io::Result<bool> {
    let status = if right { 200 } else { 400 };
    write!(s, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")?;
    Ok(true)
}

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    let method = head.split(' ').next().unwrap_or("");
    let length = field(head, "Content-Length");
    match path {
        "/gzip" if head.contains("Accept-Encoding: gzip, deflate, br, zstd\r\n") => {
            coded(s, "gzip", &gzip(b"{\"id\":7}"))
        }
        "/broken-gzip" => coded(s, "gzip", b"{\"id\":7}"),
        "/broken-503" => {
            s.write_all(
                b"HTTP/1.1 503 X\r\nX-Id: 7\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
            )?;
            Ok(false)
        }
        "/huge-503" => {
            write!(s, "HTTP/1.1 503 X\r\nContent-Length: {}\r\n\r\n", 9 << 20)?;
            s.write_all(&vec![b' '; 9 << 20])?;
            Ok(true)
        }
        "/told" => verdict(s, field(head, "X-Told") == Some("7")),
        "/bomb" => coded(s, "gzip", &gzip(&vec![b' '; 9 << 20])),
        "/see" => redirect(s, 303, "/is-get"),
        "/found" => redirect(s, 302, "is-get"),
        "/is-get" => verdict(s, method == "GET" && length.is_none()),
        "/keep" => redirect(s, 307, "/is-post?x=1"),
        "/is-post?x=1" => verdict(s, method == "POST" && length == Some("4")),
        "/loop" => redirect(s, 302, "/loop"),
        "/away" => redirect(s, 302, "http://127.0.0.1:1/"),
        "/no-location" => {
            s.write_all(b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n")?;
            Ok(true)
        }
        "/to-no-location" => redirect(s, 302, "/no-location"),
        "/log-in" => {
            s.write_all(b"HTTP/1.1 302 X\r\nSet-Cookie: sid=7; Path=/; HttpOnly\r\nSet-Cookie: deep=1; Path=/deep\r\nLocation: /in\r\nContent-Length: 0\r\n\r\n")?;
            Ok(true)
        }
        "/in" => verdict(s, field(head, "Cookie") == Some("sid=7")),
        "/deep/in" => verdict(s, field(head, "Cookie") == Some("deep=1; sid=7")),
        "/out" => {
            s.write_all(
                b"HTTP/1.1 200 X\r\nSet-Cookie: sid=; Path=/; Max-Age=0\r\nContent-Length: 0\r\n\r\n",
            )?;
            Ok(true)
        }
        "/out-in" => verdict(s, field(head, "Cookie").is_none()),
        "/saved" => verdict(s, field(head, "X-Sid") == Some("7")),
        "/head" => {
            s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")?;
            Ok(true)
        }
        "/304" => {
            s.write_all(b"HTTP/1.1 304 Not\r\nContent-Length: 500\r\n\r\n")?;
            Ok(true)
        }
        "/hints" => {
            s.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")?;
            ok(s, "{}")
        }
        "/trailers" => {
            s.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;q=\"x\"\r\n{}\r\n0\r\nDigest: y\r\n\r\n")?;
            Ok(true)
        }
        "/two-framings" => {
            s.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            )?;
            Ok(false)
        }
        "/until-close" => {
            s.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it")?;
            Ok(false)
        }
        // The request was read, and nobody knows what became of it.
        "/hangs-up" => Ok(false),
        "/garbage" => {
            s.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nSmuggled: yes\r\n\r\n",
            )?;
            Ok(true)
        }
        _ => verdict(s, false),
    }
}

fn with(method: &str, path: &str, change: impl FnOnce(&mut Request)) -> Vec<Step> {
    let mut request = request(0, method, path);
    change(&mut request);
    vec![Step::Request(Box::new(request))]
}

fn body(request: &mut Request) {
    request.body = Some(("text/plain".to_owned(), text("body").into()));
}

/// The errors of a session that does this, and whether anything was right.
fn told(name: &str, steps: Vec<Step>) -> String {
    // Each of them some times over.
    let enough = done(3 * steps.len() as u64);
    let mut plan = plan(held(1), LONG_MS, vec![forever(Some(20), steps)]);
    plan.transport = Transport { compression: true, redirects: 3, ..Transport::default() };
    let totals = run_until(plan, serve(act), enough);
    assert!(totals.lost.is_empty(), "{name}: {:?}", totals.lost);
    let errors = totals.errors();
    let failed: u64 = errors.values().sum();
    let right = totals.finished.values().sum::<u64>() - failed;
    let kinds: Vec<_> = errors.into_keys().collect();
    format!("{name} {}{}", if right > 0 { "right " } else { "" }, kinds.join(" ")).trim_end().to_owned()
}

fn all(cases: Vec<(&'static str, Vec<Step>)>) -> String {
    cases.into_iter().map(|(name, steps)| told(name, steps)).collect::<Vec<_>>().join("\n")
}

#[test]
fn compressed_answers_are_read_where_a_check_needs_them() {
    let id = |r: &mut Request| r.checks.push(Check::Json("$.id".to_owned(), JsonTest::Equals(7.into())));
    let saves = |r: &mut Request| {
        id(r);
        let from = Capture::Header("X-Id".to_owned());
        r.saves.push(Save { slot: Slot(0), from, pick: Pick::First });
    };
    let tells = |r: &mut Request| r.headers.push(("X-Told".to_owned(), Template(vec![Part::Var(Slot(0))])));
    let cases = vec![
        ("gzip", with("GET", "/gzip", id)),
        ("broken", with("GET", "/broken-gzip", id)),
        ("broken, unread", with("GET", "/broken-gzip", |_| ())),
        ("bomb", with("GET", "/bomb", id)),
        ("bomb, unread", with("GET", "/bomb", |_| ())),
        ("broken error page", [with("GET", "/broken-503", saves), with("GET", "/told", tells)].concat()),
        ("huge error page", with("GET", "/huge-503", id)),
    ];
    insta::assert_snapshot!(all(cases), @r"
    gzip right
    broken bad-coding
    broken, unread right
    bomb too-large
    bomb, unread right
    broken error page right status
    huge error page status
    ");
}

#[test]
fn redirects_are_followed_on_the_same_origin_and_not_for_ever() {
    let status = |n: u16| move |r: &mut Request| r.checks.push(Check::Status(vec![(n, n)]));
    let none = |r: &mut Request| {
        r.options.redirects = Some(0);
        r.checks.push(Check::Status(vec![(302, 302)]));
    };
    let last = |r: &mut Request| {
        r.options.redirects = Some(1);
        status(302)(r);
    };
    let cases = vec![
        ("303", with("POST", "/see", body)),
        ("302 of a POST", with("POST", "/found", body)),
        ("307", with("POST", "/keep", body)),
        ("loop", with("GET", "/loop", |_| ())),
        ("away", with("GET", "/away", |_| ())),
        ("no location", with("GET", "/no-location", status(302))),
        ("no location at the last hop", with("GET", "/to-no-location", last)),
        ("by choice not", with("GET", "/loop", none)),
    ];
    insta::assert_snapshot!(all(cases), @r"
    303 right
    302 of a POST right
    307 right
    loop redirect
    away redirect
    no location right
    no location at the last hop right
    by choice not right
    ");
}

#[test]
fn redirects_that_are_not_followed_are_counted_unless_the_step_asks_for_them() {
    // Each of two workers has one session, which does this once.
    let counted = |(name, redirects, step): (&str, u8, Vec<Step>)| {
        let mut plan = plan(once(2), LONG_MS, step);
        plan.transport.redirects = redirects;
        let totals = run(plan, serve(act), 2);
        assert_eq!(totals.finished.values().sum::<u64>(), 2, "{name}");
        let errors: Vec<_> = totals.errors().into_keys().collect();
        let line = format!("{name}: {} {}", totals.sum(|c| c.unfollowed_redirects), errors.join(" "));
        line.trim_end().to_owned()
    };
    let status = |n: u16| move |r: &mut Request| r.checks.push(Check::Status(vec![(n, n)]));
    let follow = |n: u8| move |r: &mut Request| r.options.redirects = Some(n);
    let cases = [
        ("not followed", 0, with("GET", "/found", |_| ())),
        ("elsewhere", 0, with("GET", "/away", |_| ())),
        ("not by this step", 1, with("GET", "/found", follow(0))),
        ("another status is asked for", 0, with("GET", "/found", status(200))),
        ("its status is asked for", 0, with("GET", "/found", status(302))),
        ("followed", 1, with("GET", "/found", |_| ())),
        ("followed by this step", 0, with("GET", "/found", follow(1))),
        ("followed too far", 3, with("GET", "/loop", |_| ())),
        ("no location", 0, with("GET", "/no-location", |_| ())),
        ("no redirect", 0, with("GET", "/304", |_| ())),
    ];
    insta::assert_snapshot!(cases.map(counted).join("\n"), @r"
    not followed: 2
    elsewhere: 2
    not by this step: 2
    another status is asked for: 2 status
    its status is asked for: 0
    followed: 0
    followed by this step: 0
    followed too far: 0 redirect
    no location: 0
    no redirect: 0
    ");
}

#[test]
fn sessions_keep_cookies_if_they_are_to() {
    let save = Save { slot: Slot(0), from: Capture::Cookie("sid".to_owned()), pick: Pick::First };
    let mut steps = with("GET", "/log-in", |r| r.saves.push(save));
    steps.extend([get(1, "/in"), get(2, "/deep/in")]);
    steps.extend(with("GET", "/saved", |r| {
        r.id = StepId(3);
        r.headers.push(("X-Sid".to_owned(), Template(vec![Part::Var(Slot(0))])));
    }));
    steps.extend([get(4, "/out"), get(5, "/out-in")]);
    let mut plan = plan(held(2), LONG_MS, vec![forever(Some(50), steps)]);
    plan.transport = Transport { cookies: true, redirects: 1, ..Transport::default() };
    let kept = run_until(plan.clone(), serve(act), done(6 * 2 * 3));
    assert!(kept.errors().is_empty() && kept.finished[&3] > 2, "{:?}", kept.errors());
    plan.transport.cookies = false;
    let off = run_until(plan, serve(act), done(6 * 2));
    assert_eq!(off.errors().into_keys().collect::<Vec<_>>(), ["status"]);
}

#[test]
fn framings_of_every_kind_are_read_to_their_end() {
    let cases = vec![
        ("HEAD", with("HEAD", "/head", |_| ())),
        ("304", with("GET", "/304", |_| ())),
        ("hints", with("GET", "/hints", |r| r.checks.push(Check::Body(TextTest::Contains("{}".to_owned()))))),
        (
            "trailers",
            with("GET", "/trailers", |r| r.checks.push(Check::Body(TextTest::Contains("{}".to_owned())))),
        ),
        ("two framings", with("GET", "/two-framings", |_| ())),
        (
            "until close",
            with("GET", "/until-close", |r| {
                r.checks.push(Check::Body(TextTest::Contains("all of it".to_owned())))
            }),
        ),
        ("garbage behind", with("GET", "/garbage", |_| ())),
    ];
    insta::assert_snapshot!(all(cases), @r"
    HEAD right
    304 right
    hints right
    trailers right
    two framings bad-head
    until close right
    garbage behind right
    ");
}

#[test]
fn what_is_said_unasked_is_no_answer_to_the_next_request() {
    /// Answers that were read, and those of them behind which more was said.
    static READ: AtomicU64 = AtomicU64::new(0);
    static SAID: AtomicU64 = AtomicU64::new(0);
    fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
        if path == "/talks-on" {
            let before = SAID.load(Ordering::SeqCst);
            ok(s, "{}")?;
            // Behind the answer and in front of the next request: nobody has asked for it.
            until(|| READ.load(Ordering::SeqCst) > before);
            s.write_all(b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n")?;
            SAID.fetch_add(1, Ordering::SeqCst);
            return Ok(true);
        }
        upgrade(head, s)?;
        until_closed(s, |s, _, payload| {
            let read = READ.fetch_add(1, Ordering::SeqCst) + 1;
            until(|| SAID.load(Ordering::SeqCst) >= read);
            s.write_all(&frame(0x81, payload))
        })
    }
    // The session says that it has the answer, and hears when more was said.
    let turns = (0..5).flat_map(|_| [get(0, "/talks-on"), say(1, AMPLE_MS)]);
    let steps = [connect(2, "/ws")].into_iter().chain(turns).collect();
    let totals = run(plan(once(1), LONG_MS, steps), serve(act), 1);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((totals.finished[&0], totals.finished[&1]), (5, 5));
    assert_eq!(totals.sum(|c| c.replaced), 4, "each but the first had a new connection");
    assert_eq!(totals.sum(|c| c.retried), 0, "and was sent once");
}

#[test]
fn what_may_not_be_done_twice_is_not_sent_twice() {
    let retried = |method: &str| {
        // The second one finds a connection that was good until then.
        let steps = vec![get(0, "/is-get"), Step::Request(Box::new(request(1, method, "/hangs-up")))];
        let plan = plan(held(1), LONG_MS, vec![forever(Some(20), steps)]);
        let totals = run_until(plan, serve(act), done(8));
        assert_eq!(totals.errors().into_keys().collect::<Vec<_>>(), ["closed-early"], "{method}");
        totals.sum(|c| c.retried)
    };
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        assert!(retried(method) > 0, "{method}");
    }
    for method in ["POST", "PATCH"] {
        assert_eq!(retried(method), 0, "{method}");
    }
}

/// A server of its own: the body comes later than the head, or not at all.
fn reluctant(address: &std::net::TcpListener) {
    for mut s in address.try_clone().unwrap().incoming().flatten() {
        std::thread::spawn(move || {
            s.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            for nth in 0.. {
                let (mut head, mut one) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    if s.read(&mut one).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(one[0]);
                }
                let head = String::from_utf8(head).unwrap();
                assert_eq!(field(&head, "Expect"), Some("100-continue"));
                if head.starts_with("PUT /once") && nth > 0 {
                    return;
                }
                if head.starts_with("PUT /leave-behind-hints") {
                    s.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").unwrap();
                }
                // The body must not come unasked.
                s.set_nonblocking(true).unwrap();
                sleep(Duration::from_millis(20));
                let early = s.read(&mut one).is_ok();
                s.set_nonblocking(false).unwrap();
                if early {
                    s.write_all(b"HTTP/1.1 500 Early\r\nContent-Length: 0\r\n\r\n").unwrap();
                    return;
                }
                if head.starts_with("PUT /refused") {
                    s.write_all(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n").unwrap();
                    continue;
                }
                if head.starts_with("PUT /leave") {
                    s.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
                }
                let mut body = [0; 4];
                s.read_exact(&mut body).unwrap();
                let status = if &body == b"body" { 200 } else { 400 };
                write!(s, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
    }
}

#[test]
fn a_body_waits_for_leave_but_not_for_ever() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || reluctant(&listener));
    let expect = |path: &str, status: u16| {
        with("PUT", path, |r| {
            body(r);
            r.options.expect_continue = true;
            r.checks.push(Check::Status(vec![(status, status)]));
        })
    };
    // `/once` hangs up on a second request of a connection: the one that is sent instead has its own time to wait for leave.
    let cases = [
        ("/leave", 200, false),
        ("/leave-behind-hints", 200, false),
        ("/refused", 413, false),
        ("/silent", 200, true),
        ("/once", 200, true),
    ];
    for (path, status, slow) in cases {
        // A machine that stands still for a second makes the session go on without leave, an engine at fault does so each time.
        let mut told = String::new();
        let right = (0..5).any(|_| {
            let plan = plan(held(1), LONG_MS, vec![forever(None, expect(path, status))]);
            let totals = run_until(plan, address, done(2));
            let (errors, retried) = (totals.errors(), totals.sum(|c| c.retried));
            let slowest = totals.service[&0].max();
            told += &format!("{errors:?}, {retried} sent again, {slowest} us\n");
            errors.is_empty() && (retried > 0) == (path == "/once") && (slowest > 900_000) == slow
        });
        assert!(right, "{path}:\n{told}");
    }
}
