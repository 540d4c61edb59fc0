//! What is read, what is refused, and how that is said.

use crate::gate::Gate;
use proptest::prelude::*;

fn spelled(text: &str) -> String {
    Gate::parse(text).map(|g| g.expression()).unwrap_or_else(|e| format!("REFUSED {e}"))
}

#[test]
fn gates_are_read_as_people_write_them() {
    let said = [
        "p99 < 250ms for say in phase steady",
        "P99<250ms FOR checkout",
        "response p99.9 <= 1.5s over 30s",
        "service  max < 2 s for check out in phase peak over 10s",
        "mean < 100us for \"in phase\"",
        "errors < 0.1% over 30s",
        "errors < 5 for log in",
        "achieved >= 99% of offered in phase peak",
        "completed >= 500/s",
        "lateness p99 < 20ms",
        "dropped < 1",
        "pool.db.wait p99 < 5ms",
        "heap.old.used max < 300 MiB",
        "pool.db.waiters < 10",
        "heap.old growth < 1MiB/min",
        "host.cpu p99 < 80%",
        "process.cpu mean < 1.5 cores",
        "myapp.queue.depth last <= 3",
        "no findings",
        "No Finding cache-stampede",
        "http_req_duration: p(95)<500",
        "http_req_failed rate<0.01",
        "avg<200",
        "count >= 1000 for checkout",
        "errors == 0",
        "http_req_duration{name:check out, scenario:peak}: p(99.9) < 300",
        "http_req_duration:max<1500",
        "http_req_duration{name:list}:min<20ms",
        "http_req_failed: count<5",
        "http_req_failed: rate==0",
        "checks: rate>0.95",
        "checks{step:say} rate==1",
        "http_reqs: rate>=100",
        "http_reqs: count > 1000",
        "dropped_iterations: count==0",
        "vus: value>10",
        "data_received: rate > 1000000",
        "ws_ping: p(95)<50",
    ];
    let read: Vec<String> = said.iter().map(|s| format!("{s:55} -> {}", spelled(s))).collect();
    insta::assert_snapshot!(read.join("\n"));
}

#[test]
fn what_the_target_names_keeps_its_capitals_and_our_own_words_need_none() {
    for (said, read) in [
        ("pool.HikariPool-1.waiters max < 10", "pool.HikariPool-1.waiters max < 10"),
        ("POOL.HikariPool-1.Waiters MAX < 10", "pool.HikariPool-1.waiters max < 10"),
        ("downstream.Mail.v2.TIME p99 < 1s", "downstream.Mail.v2.time p99 < 1s"),
        ("myApp.Queue.depth Last <= 3", "myApp.Queue.depth last <= 3"),
        ("cache.Products.entries growth < 5/min", "cache.Products.entries growth < 5/min"),
        ("HEAP.OLD growth < 1MiB/min", "heap.old.used growth < 1MiB/min"),
        ("Host.CPU p99 < 80%", "host.cpu p99 < 80%"),
    ] {
        assert_eq!(spelled(said), read);
        assert_eq!(Gate::parse(read), Gate::parse(said));
    }
    let suggested = |text: &str| Gate::parse(text).unwrap_err().suggestion;
    assert_eq!(suggested("Pool.DB.wiat p99 < 5ms").as_deref(), Some("pool.DB.wait"));
    assert_eq!(suggested("HEAP.Old.Usde max < 5MiB").as_deref(), Some("heap.old.used"));
}

/// A sign of three bytes whose small form has one.
const KELVIN: &str = "\u{212A}";

#[test]
fn signs_that_are_longer_in_capitals_move_no_place() {
    for text in ["chec\u{212A}s: rate>0.9", "chec\u{212A}s\u{e9}", "chec\u{212A}s{name:x}: rate>0.9"] {
        let error = Gate::parse(text).unwrap_err();
        assert_eq!(error.at, 1, "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said = [
        "",
        "p99",
        "p99 250ms",
        "p99 < ",
        "p99 < 250",
        "p99 < 250mss",
        "p99 < 0ms",
        "p999 < 1s",
        "p100 < 1s",
        "p0 < 1s",
        "errors < 0%",
        "errors < 120%",
        "errors < 5ms",
        "achieved > 100% of offered",
        "achieved >= 99% of planned",
        "eror < 1%",
        "pool.db.wiat p99 < 5ms",
        "pol.db.wait p99 < 5ms",
        "heap.old.usde max < 5MiB",
        "heap.old.used max < 5ms",
        "heap.old growth < 5ms",
        "heap.old growth < 1MiB/min over 30s",
        "p99 < 1s over 100ms",
        "p99 < 1s over soon",
        "p99 < 1s for ",
        "p99 < 1s in steady",
        "p99 < 1s over 30s over 40s",
        "p99 < 1s for 'say",
        "lateness p99 < 1s for say",
        "no finding cache-stampeed",
        "no finding",
        "no problems",
        "p99 == 250ms",
        "p99 != 250ms",
        "p99 > 2h",
        "count < 1",
        "latency p99 < 1s",
        "rps > 500/s",
        "iteration_duration: p(95)<500",
        "http_req_waiting: p(95)<500",
        "http_req_duration{expected_response:true}: p(95)<500",
        "http_req_duration{name:x: p(95)<500",
        "http_req_duration: rate<500",
        "http_reqs: p(95)<500",
        "downstream.mail.tiem p99 < 1s",
    ];
    let read: Vec<String> = said.iter().map(|s| format!("{s:40} -> {}", spelled(s))).collect();
    insta::assert_snapshot!(read.join("\n"));
}

proptest! {
    #[test]
    fn the_canonical_spelling_is_read_back(
        figure in prop::sample::select(vec!["p50", "p99.99", "service max", "mean", "lateness p90"]),
        op in prop::sample::select(vec!["<", "<=", ">", ">="]),
        us in 1..10_000_000_u32,
        step in proptest::option::of("[a-z<'/]{1,8}( (in|over|for|phase|x)){0,2}"),
        over in proptest::option::of(1..100_u32),
    ) {
        let mut text = format!("{figure} {op} {us}us");
        if let Some(step) = step.filter(|_| !figure.starts_with("lateness")) {
            text += &format!(" for \"{step}\"");
        }
        if let Some(over) = over {
            text += &format!(" over {over}s");
        }
        let gate = Gate::parse(&text).unwrap();
        prop_assert_eq!(Gate::parse(&gate.expression()), Ok(gate));
    }

    #[test]
    fn nothing_makes_the_parser_panic(text in "\\PC{0,40}") {
        let _ = Gate::parse(&text);
    }

    #[test]
    fn no_order_of_its_words_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "checks", "chec", KELVIN, "s", "http_reqs", "{name:", "}", ":", "rate", "p(95)", "<", "==", "!", "=", "\"", "'", " ",
            "for", "in", "phase", "over", "5", "1s", "%", ".", "pool", "waiters", "\u{130}", "no", "finding", "growth",
        ]), 0..12),
    ) {
        let _ = Gate::parse(&words.concat());
    }
}
