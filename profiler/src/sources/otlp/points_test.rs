//! The two forms of one request, and how its points become lanes.

use std::sync::Arc;

use proptest::prelude::*;
use timeline::histogram::Sparse;
use timeline::{LaneId, LaneSpec, MonoNs};

use super::http::{Form, Request};
use super::inbox::Inbox;
use super::points::Taker;
use super::{json, wire};
use crate::sources::{Naming, Sink, SourceEvent};

/// A field of a message.
fn bytes(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut length = inside.len();
    let mut out = vec![number << 3 | 2];
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(inside);
    out
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn double(number: u8, value: f64) -> Vec<u8> {
    fixed(number, value.to_bits())
}

fn label(number: u8, key: &str, value: &str) -> Vec<u8> {
    bytes(number, &[bytes(1, key.as_bytes()), bytes(2, &bytes(1, value.as_bytes()))].concat())
}

fn metric(name: &str, unit: &str, kind: u8, data: &[Vec<u8>]) -> Vec<u8> {
    bytes(2, &[bytes(1, name.as_bytes()), bytes(3, unit.as_bytes()), bytes(kind, &data.concat())].concat())
}

/// A request of second `s`: a level, a counter, and both kinds of histogram in which 4 values of 20 ms have come each second.
fn in_protobuf(s: u64) -> Vec<u8> {
    let time = fixed(3, s * 1_000_000_000);
    let point = |fields: &[Vec<u8>]| bytes(1, &fields.concat());
    let n = 4 * s;
    let counts: Vec<u8> = [0, n, 0].iter().flat_map(|n: &u64| n.to_le_bytes()).collect();
    let bounds: Vec<u8> = [10.0_f64, 50.0].iter().flat_map(|b| b.to_le_bytes()).collect();
    let level = point(&[time.clone(), fixed(6, 3), label(7, "db.client.connection.pool.name", "orders")]);
    let counter =
        point(&[time.clone(), fixed(6, 5 * s), label(7, "cache", "prices"), label(7, "result", "hit")]);
    let histogram =
        [time.clone(), fixed(4, n), double(5, 20.0 * n as f64), bytes(6, &counts), bytes(7, &bounds)];
    // 20 ms lie in bucket -6 of scale 0: from 1/64 to 1/32 of a second; -6 is 11 in zigzag.
    let positive = bytes(8, &[varint(1, 11), bytes(2, &[n as u8])].concat());
    let exponential = [time, fixed(4, n), double(5, 0.02 * n as f64), varint(6, 0), positive];
    let metrics = [
        metric("db.client.connection.pending_requests", "{request}", 7, &[level, varint(2, 2)]),
        metric("cache.gets", "1", 7, &[counter, varint(2, 2), varint(3, 1)]),
        metric("http.server.request.duration", "ms", 9, &[point(&histogram), varint(2, 2)]),
        metric("db.client.connection.wait_time", "s", 10, &[point(&exponential), varint(2, 2)]),
    ];
    let resource = bytes(1, &label(1, "service.name", "shop"));
    bytes(1, &[resource, bytes(2, &metrics.concat())].concat())
}

/// The same in JSON.
fn in_json(s: u64) -> String {
    let (time, n) = (s * 1_000_000_000, 4 * s);
    let label = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let [pool, cache, hit, shop] = [
        label("db.client.connection.pool.name", "orders"),
        label("cache", "prices"),
        label("result", "hit"),
        label("service.name", "shop"),
    ];
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{shop}]}},"scopeMetrics":[{{"metrics":[
        {{"name":"db.client.connection.pending_requests","unit":"{{request}}","sum":{{"aggregationTemporality":2,"isMonotonic":false,
          "dataPoints":[{{"timeUnixNano":"{time}","asInt":"3","attributes":[{pool}]}}]}}}},
        {{"name":"cache.gets","unit":"1","sum":{{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,
          "dataPoints":[{{"timeUnixNano":{time},"asInt":{},"attributes":[{cache},{hit}]}}]}}}},
        {{"name":"http.server.request.duration","unit":"ms","histogram":{{"aggregationTemporality":2,
          "dataPoints":[{{"timeUnixNano":"{time}","count":"{n}","sum":{},"bucketCounts":["0","{n}",0],"explicitBounds":[10,50.0]}}]}}}},
        {{"name":"db.client.connection.wait_time","unit":"s","exponentialHistogram":{{"aggregationTemporality":2,
          "dataPoints":[{{"timeUnixNano":"{time}","count":"{n}","sum":{},"scale":0,"zeroCount":"0","positive":{{"offset":-6,"bucketCounts":["{n}"]}}}}]}}}}
        ]}}]}}]}}"#,
        5 * s,
        20 * n,
        0.02 * n as f64
    )
}

/// What became of requests, as text; and its samples.
#[derive(Default)]
struct Told {
    lanes: Vec<LaneSpec>,
    text: Vec<String>,
    values: Vec<f64>,
    naming: Naming,
}

impl Sink for Told {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let known = self.lanes.iter().position(|l| *l == spec).unwrap_or_else(|| {
            self.lanes.push(spec);
            self.lanes.len() - 1
        });
        Some(LaneId(known as u32))
    }
    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        let spec = &self.lanes[lane.0 as usize];
        self.text.push(format!("{} s: {} = {}", at.0 / 1_000_000_000, spec.name, spec.unit.show(value)));
        self.values.push(value);
    }
    fn histogram(&mut self, lane: LaneId, from: MonoNs, at: MonoNs, cells: Sparse) {
        let (from, at) = (from.0 / 1_000_000_000, at.0 / 1_000_000_000);
        self.text.push(format!("{from} to {at} s: {} = {:?}", self.lanes[lane.0 as usize].name, cells.cells));
    }
    fn event(&mut self, _: SourceEvent) {}
    fn note(&mut self, _: &str, text: &str) {
        self.text.push(text.to_owned());
    }
    fn instance(&mut self, short: &str, whole: &str) -> String {
        self.naming.unique(short, whole)
    }
}

fn told(requests: impl IntoIterator<Item = (Form, Vec<u8>)>) -> String {
    let mut inbox = Inbox::new(Arc::default(), None);
    let mut told = Told::default();
    for (second, (form, body)) in (101..).zip(requests) {
        // What is sent takes up to half a second longer than the quickest; it was true when it was measured all the same.
        let delay = if second % 2 == 0 { 500_000_000 } else { 0 };
        let received = MonoNs(second * 1_000_000_000 + delay);
        inbox.take(&Request { form, body }, received, &mut told).unwrap();
    }
    told.text.join("\n")
}

#[test]
fn both_forms_become_the_same_lanes() {
    let protobuf = told((1..=3).map(|s| (Form::Protobuf, in_protobuf(s))));
    insta::assert_snapshot!(protobuf);
    assert_eq!(told((1..=3).map(|s| (Form::Json, in_json(s).into_bytes()))), protobuf);
}

#[test]
fn what_has_come_since_is_no_whole_count_and_levels_cannot_be_sent_so() {
    let sent = |name: &str, value: u8| {
        let point =
            bytes(1, &[fixed(6, value.into()), label(7, "cache", "c"), label(7, "result", "hit")].concat());
        let metrics = metric(name, "", 7, &[point, varint(2, 1), varint(3, 1)]);
        (Form::Protobuf, bytes(1, &bytes(2, &metrics)))
    };
    insta::assert_snapshot!(told([
        sent("cache.gets", 10),
        sent("cache.gets", 4),
        sent("cache.gets", 4),
        sent("cache.size", 4)
    ]));
}

/// Second `s` of a counter of cache look-ups that has grown by `grown` since the one before, as `process` sends it.
fn look_ups(process: &[(&str, &str)], cache: &str, grown: u64, s: u64) -> Vec<u8> {
    let time = fixed(3, s * 1_000_000_000);
    let labels = [label(7, "cache", cache), label(7, "result", "hit")].concat();
    let point = bytes(1, &[time, fixed(6, grown * s), labels].concat());
    let metrics = metric("cache.gets", "1", 7, &[point, varint(2, 2), varint(3, 1)]);
    let attributes: Vec<u8> = process.iter().flat_map(|(key, value)| label(1, key, value)).collect();
    bytes(1, &[bytes(1, &attributes), bytes(2, &metrics)].concat())
}

/// A request of `metrics` as the shop sends them.
fn of_shop(metrics: &[u8]) -> Request {
    let body = bytes(1, &[bytes(1, &label(1, "service.name", "shop")), bytes(2, metrics)].concat());
    Request { form: Form::Protobuf, body }
}

/// A counter of `cache`, at second `s`; as its whole count, or as what it has grown by.
fn counted(name: &str, cache: &str, value: u64, s: u64, whole: bool) -> Vec<u8> {
    let labels = [label(7, "cache", cache), label(7, "result", "hit")].concat();
    let point = bytes(1, &[fixed(3, s * 1_000_000_000), fixed(6, value), labels].concat());
    metric(name, "1", 7, &[point, varint(2, 1 + u8::from(whole)), varint(3, 1)])
}

#[test]
fn a_metric_that_is_first_told_of_in_a_later_request_has_a_past() {
    let (mut inbox, mut told) = (Inbox::new(Arc::default(), None), Told::default());
    let other = |s| counted("cache.gets", "c", s, s, true);
    let evicted = |cache: &str, n, s| counted("cache.evictions", cache, n, s, true);
    let requests = [
        other(1),
        [other(2), evicted("c", 5_000, 2)].concat(),
        // Of a metric that is known, a series that is new has begun since.
        [other(3), evicted("c", 5_003, 3), evicted("d", 7, 3)].concat(),
    ];
    for (s, metrics) in (101..).zip(requests) {
        inbox.take(&of_shop(&metrics), MonoNs(s * 1_000_000_000), &mut told).unwrap();
    }
    let evictions: Vec<&String> = told.text.iter().filter(|t| t.contains("evictions =")).collect();
    assert_eq!(evictions, ["103 s: cache.c.evictions = 3/s", "103 s: cache.d.evictions = 7/s"]);
}

#[test]
fn what_comes_after_a_quiet_time_has_come_since_the_reading_before() {
    let (mut inbox, mut told) = (Inbox::new(Arc::default(), None), Told::default());
    for s in 1..=6 {
        let quiet = (3..6).contains(&s);
        let caches: &[&str] = if quiet { &["a"] } else { &["a", "b"] };
        let metrics: Vec<u8> =
            caches.iter().flat_map(|cache| counted("cache.gets", cache, 8, s, false)).collect();
        inbox.take(&of_shop(&metrics), MonoNs((100 + s) * 1_000_000_000), &mut told).unwrap();
    }
    let told_of_b: Vec<&String> = told.text.iter().filter(|t| t.contains("cache.b.hits =")).collect();
    assert_eq!(
        told_of_b,
        ["102 s: cache.b.hits = 8/s", "105 s: cache.b.hits = 0/s", "106 s: cache.b.hits = 8/s"]
    );
}

#[test]
fn all_blocks_of_a_request_are_one_reading_and_so_are_requests_at_once() {
    let process = [("service.name", "shop"), ("process.pid", "7")];
    let block = |cache: &str, grown, s| look_ups(&process, cache, grown, s);
    let both = |s| (Form::Protobuf, [block("a", 3, s), block("b", 5, s), block("a", 3, s)].concat());
    let told = told((1..=3).map(both));
    for second in [102, 103] {
        for (cache, rate) in [("a", 3), ("b", 5)] {
            assert_eq!(
                told.matches(&format!("{second} s: cache.{cache}.hits = {rate}/s")).count(),
                1,
                "{told}"
            );
        }
    }
    assert!(told.contains("series that are there twice"), "{told}");

    // In requests of their own, five milliseconds apart.
    let (mut inbox, mut told) = (Inbox::new(Arc::default(), None), Told::default());
    for s in 1..=3 {
        for (i, cache) in ["a", "b"].into_iter().enumerate() {
            let received = MonoNs((100 + s) * 1_000_000_000 + i as u64 * 5_000_000);
            let request = Request { form: Form::Protobuf, body: block(cache, 4, s) };
            inbox.take(&request, received, &mut told).unwrap();
        }
    }
    let rates: Vec<f64> = told.values.iter().map(|v| (v * 10.0).round() / 10.0).collect();
    assert_eq!(rates, [4.0; 4], "{:?}", told.text);
}

#[test]
fn a_sender_that_has_fallen_silent_makes_room_and_what_was_taken_is_not_asked_for_again() {
    let (mut inbox, mut told) = (Inbox::new(Arc::default(), None), Told::default());
    let of = |pid: u64, s| look_ups(&[("process.pid", pid.to_string().as_str())], "c", 1, s);
    let mut take = |body: Vec<u8>, s: u64| {
        let request = Request { form: Form::Protobuf, body };
        let taken = inbox.take(&request, MonoNs((1_000 + s) * 1_000_000_000), &mut told);
        taken.map_err(|refusal| refusal.status)
    };
    for s in [10, 20] {
        assert!((0..16).all(|pid| take(of(pid, s), s) == Ok(())));
    }
    assert_eq!(take(of(16, 21), 21), Err(429));
    assert_eq!(take([of(0, 30), of(16, 30)].concat(), 30), Ok(()), "a part is taken");
    // They send each ten seconds; but for the first all have missed three times.
    assert_eq!(take(of(16, 55), 55), Ok(()));
    let said = |what: &str| told.text.iter().filter(|t| t.contains(what)).count();
    assert_eq!((said("otlp: more than 16 senders"), said("is silent and gives its place")), (1, 1));
}

#[test]
fn two_processes_are_two_senders_under_two_names() {
    for (one, other) in [
        (("service.instance.id", "shop-worker-1"), ("service.instance.id", "shop-worker-2")),
        // Their eight characters are alike, too.
        (
            ("service.instance.id", "01234567-0000-0000-0000-000000000001"),
            ("service.instance.id", "01234567-0000-0000-0000-000000000002"),
        ),
        (("deployment.cell", "a"), ("deployment.cell", "b")),
    ] {
        let requests = (1..=4).flat_map(|s| {
            [(one, 3), (other, 500)].map(|(attribute, grown)| {
                let body = look_ups(&[("service.name", "shop"), attribute], "c", grown, s);
                (s, Request { form: Form::Protobuf, body })
            })
        });
        let (mut inbox, mut told) = (Inbox::new(Arc::default(), None), Told::default());
        for (s, request) in requests {
            inbox.take(&request, MonoNs((100 + s) * 1_000_000_000), &mut told).unwrap();
        }
        assert_eq!(told.values, [3.0, 500.0, 3.0, 500.0, 3.0, 500.0], "{:?}", told.text);
        assert_eq!(told.lanes.iter().filter(|l| l.name == "cache.c.hits").count(), 2, "{:?}", told.lanes);
    }
}

#[test]
fn processes_that_send_under_one_name_in_turn_are_noticed_and_told_no_more() {
    let one_after_the_other = (1..=8).map(|s| {
        let grown = if s % 2 == 0 { 3 } else { 1_000 };
        (Form::Protobuf, look_ups(&[("service.name", "shop")], "c", grown, s))
    });
    let told = told(one_after_the_other);
    assert_eq!(told.matches("otlp-shop: several processes send in turn under one name").count(), 1, "{told}");
    assert_eq!(told.matches("cache.c.hits").count(), 2, "{told}");
    assert!(told.contains("103 s: cache.c.hits"), "{told}");
}

struct Nothing;

impl Taker for Nothing {
    fn resource(&mut self, _: &[super::points::Attribute<'_>]) -> bool {
        true
    }
    fn metric(&mut self, _: &super::points::Metric<'_>) -> bool {
        true
    }
    fn point(&mut self, _: &super::points::Metric<'_>, _: super::points::Point<'_>) {}
    fn refuse(&mut self, _: &'static str) {}
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..6), cut in any::<bool>()) {
        for (form, mut body) in [(Form::Protobuf, in_protobuf(3)), (Form::Json, in_json(3).into_bytes())] {
            let place = at.index(body.len());
            let end = if cut { body.len() } else { (place + with.len()).min(body.len()) };
            body.splice(place..end, with.clone());
            match form {
                Form::Protobuf => drop(wire::read(&body, &mut Nothing)),
                Form::Json => drop(json::read(&body, &mut Nothing)),
            }
            let mut inbox = Inbox::new(Arc::default(), None);
            let _ = inbox.take(&Request { form, body }, MonoNs(1_000_000_000), &mut Told::default());
        }
    }
}
