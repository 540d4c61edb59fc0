//! HTTP/2 against a real server: whatever a step can do over HTTP/1.1 it does here, on streams of few connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

#[path = "../common/mod.rs"]
mod common;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;
use plain::until;
use rcgen::generate_simple_self_signed;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use scenarios::plan::*;
use server::{BIG, Seen, Setup, serve};

fn over_2(mut plan: RunPlan) -> RunPlan {
    plan.transport.http = HttpVersion::Http2;
    plan
}

fn with(id: u16, method: &str, path: &str, change: impl FnOnce(&mut Request)) -> Step {
    let mut request = request(id, method, path);
    change(&mut request);
    Step::Request(Box::new(request))
}

fn body(request: &mut Request) {
    request.body = Some(("text/plain".to_owned(), text("body").into()));
}

fn generated(bytes: u64) -> Body {
    Body::Whole(Content::Generated(Generated { bytes, filler: Filler::Random }))
}

fn holds(what: &'static str) -> impl FnOnce(&mut Request) {
    move |r| r.checks.push(Check::Body(TextTest::Contains(what.to_owned())))
}

fn status(n: u16) -> impl FnOnce(&mut Request) {
    move |r| r.checks.push(Check::Status(vec![(n, n)]))
}

/// The errors of a session that does this, and whether anything was right.
fn told(name: &str, step: Step) -> String {
    let mut plan = over_2(plan(held(1), LONG_MS, vec![forever(Some(20), vec![step])]));
    plan.transport = Transport { compression: true, redirects: 3, ..plan.transport };
    let totals = run_until(plan, serve(Setup::default()).0, done(3));
    assert!(totals.lost.is_empty(), "{name}: {:?}", totals.lost);
    let errors = totals.errors();
    let right = totals.finished.values().sum::<u64>() - errors.values().sum::<u64>();
    let kinds: Vec<_> = errors.into_keys().collect();
    format!("{name} {}{}", if right > 0 { "right " } else { "" }, kinds.join(" ")).trim_end().to_owned()
}

fn all(cases: Vec<(&'static str, Step)>) -> String {
    cases.into_iter().map(|(name, step)| told(name, step)).collect::<Vec<_>>().join("\n")
}

#[test]
fn steps_do_over_http_2_what_they_do_over_http_1() {
    let json = Check::Json("$.id".to_owned(), JsonTest::Equals(7.into()));
    let waits = |r: &mut Request| {
        body(r);
        r.options.expect_continue = true;
    };
    let header = Check::Header("X-Id".to_owned(), FieldTest::Text(TextTest::Equals("7".to_owned())));
    let cases = vec![
        ("plain", with(0, "GET", "/ok", holds("{}"))),
        ("a header", with(0, "GET", "/ok", |r| r.checks.push(header))),
        ("HEAD", with(0, "HEAD", "/head", |_| ())),
        ("hints", with(0, "GET", "/hints", holds("{}"))),
        ("trailers", with(0, "GET", "/trailers", holds("{}"))),
        ("gzip", with(0, "GET", "/gzip", |r| r.checks.push(json))),
        ("redirect", with(0, "POST", "/see", body)),
        ("body", with(0, "POST", "/up", body)),
        ("no body", with(0, "POST", "/up", |_| ())),
        ("expect", with(0, "PUT", "/waits", waits)),
        ("expect, behind hints", with(0, "PUT", "/waits-on", waits)),
        (
            "expect, refused",
            with(0, "PUT", "/early", |r| {
                waits(r);
                status(413)(r);
            }),
        ),
        (
            "early answer",
            with(0, "POST", "/early", |r| {
                body(r);
                status(413)(r);
            }),
        ),
        (
            "early answer to a large body",
            with(0, "POST", "/early", |r| {
                r.body = Some(("text/plain".to_owned(), generated(64 << 20)));
                status(413)(r);
            }),
        ),
        ("an empty body", with(0, "POST", "/up", |r| r.body = Some(("a/b".to_owned(), generated(0))))),
        ("a status", with(0, "GET", "/nowhere", |_| ())),
        ("odd path", with(0, "GET", "/od`d<>?{\"}", status(400))),
    ];
    insta::assert_snapshot!(all(cases), @r#"
    plain right
    a header right
    HEAD right
    hints right
    trailers right
    gzip right
    redirect right
    body right
    no body right
    expect right
    expect, behind hints right
    expect, refused right
    early answer right
    early answer to a large body right
    an empty body right
    a status status
    odd path right
    "#);
}

#[test]
fn each_way_to_fail_has_its_kind() {
    let cases = vec![
        ("reset", with(0, "GET", "/reset", |_| ())),
        ("reset half way", with(0, "GET", "/reset-half", |_| ())),
        ("cut off without an error", with(0, "GET", "/no-error-half", |_| ())),
        ("refused once", with(0, "GET", "/refuse-first", |_| ())),
        ("refused always", with(0, "GET", "/refuse", |_| ())),
        ("gone", with(0, "GET", "/leave", |_| ())),
        ("hints without end", with(0, "GET", "/hints-flood", |_| ())),
    ];
    insta::assert_snapshot!(all(cases), @r"
    reset stream-reset
    reset half way stream-reset
    cut off without an error stream-reset
    refused once right
    refused always stream-reset
    gone goaway
    hints without end bad-head
    ");
}

#[test]
fn sessions_keep_cookies_and_what_they_save() {
    let save = Save { slot: Slot(0), from: Capture::Cookie("sid".to_owned()), pick: Pick::First };
    let steps = vec![
        with(0, "GET", "/log-in", |r| r.saves.push(save)),
        get(1, "/in"),
        with(2, "GET", "/saved", |r| {
            r.headers.push(("X-Saved".to_owned(), Template(vec![Part::Var(Slot(0))])));
        }),
    ];
    let mut plan = over_2(plan(held(2), LONG_MS, steps));
    plan.transport.cookies = true;
    let totals = run_until(plan, serve(Setup::default()).0, done(2 * 3 * 3));
    assert!(totals.errors().is_empty() && totals.finished[&2] > 1, "{:?}", totals.errors());
}

#[test]
fn large_bodies_go_both_ways_through_small_windows() {
    const UP: usize = 300_000;
    let up = with(0, "POST", "/up", |r| {
        r.body = Some(("text/plain".to_owned(), text(&"y".repeat(UP)).into()));
        r.checks.push(Check::Body(TextTest::Equals(UP.to_string())));
    });
    let made = with(2, "POST", "/up", |r| {
        r.body = Some(("text/plain".to_owned(), generated(UP as u64)));
        r.checks.push(Check::Body(TextTest::Equals(UP.to_string())));
    });
    let down = with(1, "GET", "/big", |r| r.checks.push(Check::Size(Compare::Less, BIG as u64 + 1)));
    let plan = over_2(plan(held(2), LONG_MS, vec![forever(Some(100), vec![up, made, down])]));
    // Small on the server's side; the client's own are smaller than what comes down.
    let (address, _) = serve(Setup { window: Some(20_000), ..Setup::default() });
    let totals = run_until(plan, address, done(2 * 2 * 3));
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    let (ups, downs) = (totals.finished[&0], totals.finished[&1]);
    assert!(ups > 1 && downs > 1);
    assert!(totals.sum(|c| c.sent) > ups * UP as u64 && totals.sum(|c| c.received) > downs * BIG as u64);
}

#[test]
fn a_session_is_one_connection_and_it_is_closed_with_it() {
    let mut plan = over_2(plan(held(3), LONG_MS, vec![forever(Some(20), vec![get(0, "/ok")])]));
    let (address, seen) = serve(Setup::default());
    let totals = run_until(plan.clone(), address, done(3 * 10));
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!(
        seen.connections.load(Ordering::Relaxed),
        1 + 3,
        "the look for the target, and three sessions"
    );
    assert_eq!(totals.sum(|c| c.open_connections), 0, "{:?}", totals.counters);

    // Sessions that follow each other: none leaves its connection behind.
    plan.sessions[0].steps = vec![get(0, "/ok"), think(20)];
    let (address, seen) = serve(Setup::default());
    let totals = run_until(plan, address, |_| seen.connections.load(Ordering::Relaxed) > 20);
    let open = totals.updates.iter().filter_map(|u| match u {
        loadgen::LoadUpdate::Counters(_, c) => Some(c.open_connections),
        _ => None,
    });
    assert!(totals.errors().is_empty() && seen.connections.load(Ordering::Relaxed) > 10);
    assert!(open.max().unwrap() <= 6, "connections of sessions that have ended stay open");
}

/// Single requests to `/slow`, about ten at a time.
fn single(streams: Option<u32>) -> (Totals, Arc<Seen>) {
    let model = Model::Requests { from: 100.0, to: 100.0 };
    let plan = over_2(plan(model, 600, vec![get(0, "/slow")]));
    let (address, seen) = serve(Setup { streams, ..Setup::default() });
    (run(plan, address, 1), seen)
}

#[test]
fn single_requests_share_connections_up_to_what_the_server_allows() {
    let (totals, seen) = single(None);
    assert!(totals.errors().is_empty() && totals.finished[&0] == 60, "{:?}", totals.errors());
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1 + 1);
    assert!(seen.most.load(Ordering::Relaxed) >= 4, "several streams at once on one connection");

    let (totals, seen) = single(Some(1));
    assert!(totals.errors().is_empty() && totals.finished[&0] == 60, "{:?}", totals.errors());
    let (connections, most) =
        (seen.connections.load(Ordering::Relaxed) - 1, seen.most.load(Ordering::Relaxed));
    assert!(most >= 4 && connections >= most, "{connections} connections, {most} streams");
}

#[test]
fn a_server_that_leaves_in_order_loses_no_request() {
    let plan = over_2(plan(held(2), LONG_MS, vec![forever(None, vec![get(0, "/ok")])]));
    let (address, seen) = serve(Setup { leaves_after: Some(5), ..Setup::default() });
    let totals = run_until(plan, address, |_| seen.connections.load(Ordering::Relaxed) > 10);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!(seen.connections.load(Ordering::Relaxed) > 10);
    assert_eq!(totals.finished[&0], seen.requests.load(Ordering::Relaxed) as u64);
}

#[test]
fn what_may_not_be_done_twice_is_not_sent_twice() {
    // Did any fail, and was any sent again?
    let told = |method: &str, path: &str| {
        let steps = vec![get(0, "/ok"), with(1, method, path, |_| ())];
        let plan = over_2(plan(held(1), LONG_MS, vec![forever(Some(20), steps)]));
        let totals = run_until(plan, serve(Setup::default()).0, done(8));
        (!totals.errors().is_empty(), totals.sum(|c| c.retried) > 0)
    };
    assert_eq!(told("GET", "/hangs-up"), (true, true));
    assert_eq!(told("POST", "/hangs-up"), (true, false));
    assert_eq!(told("POST", "/refuse-first"), (false, true), "the server has said that it did nothing");
}

#[test]
fn redirects_that_are_not_followed_are_counted() {
    for (redirects, counted) in [(0, 3), (1, 0)] {
        let mut plan = over_2(plan(once(3), LONG_MS, vec![with(0, "GET", "/see", |_| ())]));
        plan.transport.redirects = redirects;
        let totals = run(plan, serve(Setup::default()).0, 1);
        assert!(totals.errors().is_empty() && totals.finished[&0] == 3, "{:?}", totals.errors());
        assert_eq!(totals.sum(|c| c.unfollowed_redirects), counted, "{redirects} followed at most");
    }
}

#[test]
fn places_that_count_passes_go_on_with_their_connections() {
    let legs = vec![Leg { length_ns: 60_000 * MS, from: 3.0, to: 3.0 }];
    let rules = Rules { turns: Some(Turns::Each(5)), ..Rules::default() };
    let model = Model::Shaped(Box::new(Shape { of: Of::Sessions, legs, rules }));
    let (address, seen) = serve(Setup::default());
    let totals = run(over_2(plan(model, 60_000, vec![get(0, "/ok")])), address, 1);
    assert!(totals.errors().is_empty() && totals.finished[&0] == 15, "{:?}", totals.errors());
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1 + 3, "the look for the target, and three places");
}

#[test]
fn a_timeout_ends_its_stream_and_not_the_connection() {
    let turn = vec![get(0, "/never"), get(1, "/ok")];
    let mut plan = over_2(plan(held(1), LONG_MS, vec![forever(None, turn)]));
    // So long that a busy machine is no cause of a further one.
    plan.timeout_ns = 5000 * MS;
    let (address, seen) = serve(Setup::default());
    let totals = run_until(plan, address, done(2 * 2));
    assert_eq!(totals.errors(), [("timeout", totals.finished[&0])].into());
    assert!(totals.finished[&1] > 1);
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1 + 1);
    // The last one may still be on its way.
    assert!(until(|| seen.reset_by_client.load(Ordering::Relaxed) > 1), "the server is told of each");
}

fn slow_group(http: HttpVersion) -> RunPlan {
    let requests = (0..8).map(|i| request(i, "GET", "/slow")).collect();
    let group = Step::Parallel(Box::new(Parallel { requests, connections: 2 }));
    let mut plan = plan(held(1), LONG_MS, vec![forever(None, vec![group])]);
    plan.transport.http = http;
    plan.transport.tls.insecure = true;
    plan
}

#[test]
fn requests_at_once_are_streams_of_one_connection() {
    for (streams, at_once) in [(None, 8), (Some(1), 1), (Some(3), 3)] {
        let (address, seen) = serve(Setup { streams, ..Setup::default() });
        // Some groups, and one of them whole within the server's own pause.
        let totals = run_until(slow_group(HttpVersion::Http2), address, |t| {
            t.sum(|c| c.completed) >= 2 * 8 && seen.most.load(Ordering::Relaxed) >= at_once
        });
        assert!(totals.errors().is_empty() && totals.finished[&7] > 0, "{:?}", totals.errors());
        let (connections, most) =
            (seen.connections.load(Ordering::Relaxed), seen.most.load(Ordering::Relaxed));
        assert_eq!((connections, most), (1 + 1, at_once), "with room for {streams:?}");
    }
}

#[test]
fn requests_at_once_know_what_the_server_chose() {
    for (alpn, connections) in [("h2", 1), ("http/1.1", 2)] {
        let (address, seen) = serve(tls(&[alpn]));
        let mut options = options(slow_group(HttpVersion::Auto), address, 1);
        options.url.tls = true;
        let totals = run_with(options, || (), done(2 * 8));
        assert!(totals.errors().is_empty() && totals.finished[&7] > 0, "{:?}", totals.errors());
        assert_eq!(seen.connections.load(Ordering::Relaxed), 1 + connections, "{alpn}");
    }
}

#[test]
fn requests_that_had_to_wait_for_the_server_s_choice_are_not_late() {
    const CHOICE_MS: u64 = 300;
    let requests = (0..8).map(|i| request(i, "GET", "/ok")).collect();
    let group = Step::Parallel(Box::new(Parallel { requests, connections: 2 }));
    let setup = Setup { slow: Some(Duration::from_millis(CHOICE_MS)), ..tls(&["h2"]) };
    let (totals, _) = run_tls(HttpVersion::Auto, plan(once(1), LONG_MS, vec![group]), setup, 8);
    assert!(totals.errors().is_empty() && totals.finished[&7] == 1, "{:?}", totals.errors());
    // Two have the connection opened, six could not start before it was.
    let lateness = totals.lateness();
    let third = lateness.value_at_quantile(0.3);
    assert!(lateness.len() == 8 && third < CHOICE_MS * 1000 / 2, "{third} us, {} steps", lateness.len());
    // They were intended for the group's start all the same.
    let soonest = (0..8).map(|i| totals.response[&i].min()).min().unwrap();
    assert!(soonest >= (CHOICE_MS - 5) * 1000, "{soonest} us");
}

fn tls(alpn: &[&str]) -> Setup {
    let made = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Setup { tls: Some(Arc::new(config)), ..Setup::default() }
}

/// Runs a plan over TLS, until it has done so many steps.
fn run_tls(http: HttpVersion, mut plan: RunPlan, setup: Setup, steps: u64) -> (Totals, Arc<Seen>) {
    plan.transport.http = http;
    plan.transport.tls.insecure = true;
    let (address, seen) = serve(setup);
    let mut options = options(plan, address, 1);
    options.url.tls = true;
    (run_with(options, || (), done(steps)), seen)
}

/// Which version was spoken, and what went wrong.
fn spoken(http: HttpVersion, alpn: &[&str]) -> String {
    let plan = plan(held(2), LONG_MS, vec![forever(Some(20), vec![get(0, "/ok")])]);
    let (totals, seen) = run_tls(http, plan, tls(alpn), 8);
    let (requests, http1) = (seen.requests.load(Ordering::Relaxed), seen.http1.load(Ordering::Relaxed));
    let said = match (requests, http1) {
        (0, _) => "nothing",
        (_, 0) => "2",
        _ => "1.1",
    };
    let errors = totals.errors();
    let tries = errors.values().sum::<u64>();
    assert!(tries <= totals.most_tries(2), "a server that does not agree is not hammered: {errors:?}");
    format!("{} of {alpn:?}: {said} {}", http.name(), errors.into_keys().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_server_chooses_where_it_may() {
    let both: &[&str] = &["h2", "http/1.1"];
    let old: &[&str] = &["http/1.1"];
    let cases = [
        (HttpVersion::Http1, both),
        (HttpVersion::Auto, both),
        (HttpVersion::Http2, both),
        (HttpVersion::Auto, old),
        (HttpVersion::Http2, old),
        (HttpVersion::Auto, &[]),
        (HttpVersion::Http2, &[]),
        (HttpVersion::Http1, &["h2"]),
    ];
    let told: Vec<_> = cases.iter().map(|(http, alpn)| spoken(*http, alpn).trim_end().to_owned()).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    1.1 of ["h2", "http/1.1"]: 1.1
    auto of ["h2", "http/1.1"]: 2
    2 of ["h2", "http/1.1"]: 2
    auto of ["http/1.1"]: 1.1
    2 of ["http/1.1"]: nothing no-h2
    auto of []: 1.1
    2 of []: nothing no-h2
    1.1 of ["h2"]: nothing tls
    "#);
}

#[test]
fn single_requests_know_what_the_server_chose() {
    let plan = plan(Model::Requests { from: 50.0, to: 50.0 }, 400, vec![get(0, "/ok")]);
    let (totals, seen) = run_tls(HttpVersion::Auto, plan.clone(), tls(&["h2"]), 20);
    assert!(totals.errors().is_empty() && totals.finished[&0] == 20, "{:?}", totals.errors());
    assert_eq!((seen.connections.load(Ordering::Relaxed), seen.http1.load(Ordering::Relaxed)), (1 + 1, 0));
    let (totals, seen) = run_tls(HttpVersion::Auto, plan, tls(&["http/1.1"]), 20);
    assert!(totals.errors().is_empty() && totals.finished[&0] == 20, "{:?}", totals.errors());
    let (all, http1) = (seen.connections.load(Ordering::Relaxed), seen.http1.load(Ordering::Relaxed));
    // One each at the most; how many of them are kept in time for another depends on the machine.
    assert!((1..=20).contains(&http1) && all == 1 + http1, "{http1} connections of HTTP/1.1, {all} in all");
}

#[test]
fn prior_knowledge_that_is_wrong_is_named() {
    fn act(_: &str, _: &str, s: &mut std::net::TcpStream) -> std::io::Result<bool> {
        std::io::Write::write_all(s, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        // What is left unread would make the end a reset.
        plain::idle(s)
    }
    let address: SocketAddr = plain::serve(act);
    let plan = over_2(plan(held(1), LONG_MS, vec![forever(None, vec![get(0, "/ok")])]));
    let totals = run_until(plan, address, done(3));
    assert_eq!(totals.errors().into_keys().collect::<Vec<_>>(), ["no-h2"]);
}

#[path = "../common/server.rs"]
mod plain;
