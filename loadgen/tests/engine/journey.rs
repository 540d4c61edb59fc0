//! Coded journeys in real workers: the schedule starts them, the stop ends them, figures say what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{IpAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use crate::common::*;
use crate::server::*;
use loadgen::LoadUpdate;
use loadgen::lanes::{Lanes, Reading};
use scenarios::plan::*;
use timeline::lane::names;

/// A shop of cardboard: what the journeys ask for, and nothing behind it. The orders do not come.
fn shop(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    read_body(head, s)?;
    match path {
        "/ws" => {
            upgrade(head, s)?;
            until_closed(s, |s, kind, payload| {
                if kind == 1 {
                    s.write_all(&frame(0x81, b"{\"id\":\"news\"}"))?;
                    s.write_all(&frame(0x81, payload))?;
                }
                Ok(())
            })
        }
        "/login" => ok(s, "{\"token\":\"t\"}"),
        "/checkout" => {
            s.write_all(b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n")?;
            Ok(true)
        }
        "/orders" => idle(s),
        "/cart" => ok(s, "{}"),
        // The head at once, the body 50 ms later: goose's figure stops before it.
        _ => {
            s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")?;
            s.flush()?;
            std::thread::sleep(Duration::from_millis(50));
            s.write_all(b"{}")?;
            Ok(true)
        }
    }
}

/// Reads what follows a head, so that the next request begins at its beginning.
fn read_body(head: &str, s: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = field(head, "content-length").and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    std::io::Read::read_exact(s, &mut body)?;
    Ok(body)
}

/// A plan with one kind that walks `name`; its steps are those of the parser.
fn walk(name: &str, phase: &str, ms: u64) -> RunPlan {
    let text = format!(
        "[target]\nurl = \"http://127.0.0.1:1\"\n[[phase]]\nname = \"only\"\nfor = \"{ms}ms\"\n{phase}\n\
         [[session]]\nname = \"coded\"\njourney = \"{name}\"\n"
    );
    let origin = scenarios::Origin { name: "test".to_owned(), file: None };
    let mut plan = scenarios::parse(&text, &origin, &scenarios::Overrides::default()).unwrap();
    (plan.timeout_ns, plan.grace_ns) = (AMPLE_MS * MS, AMPLE_MS * MS);
    plan
}

fn step(plan: &RunPlan, name: &str) -> u16 {
    plan.steps.iter().position(|s| s == name).unwrap_or_else(|| panic!("{name} in {:?}", plan.steps)) as u16
}

#[test]
fn visitors_arrive_on_the_schedule_and_are_timed_to_the_end_and_to_the_first_byte() {
    let plan = walk("shop-checkout", "arrivals = \"20/s\"", 1_500);
    let steps: Vec<u16> = ["log in", "product", "cart", "check out", "orders"]
        .map(|s| step(&plan, &format!("shop-checkout {s}")))
        .to_vec();
    let head = step(&plan, "shop-checkout product (first byte)");
    // Time enough for all but what does not come.
    let totals = run(RunPlan { timeout_ns: 5_000 * MS, ..plan.clone() }, serve(shop), 2);
    let finished = |s: u16| totals.finished.get(&s).copied().unwrap_or(0);
    assert!((28..=32).contains(&finished(steps[0])), "30 arrivals: {:?}", totals.finished);
    // Whoever is under way when the load ends does the stop part all the same.
    assert_eq!(finished(steps[0]), finished(steps[4]), "{:?}", totals.finished);
    let (whole, first) = (totals.service[&steps[1]].min(), totals.response[&head].min());
    assert!(whole >= 49_000, "the whole answer takes 50 ms: {whole} us");
    assert!(first < 40_000, "its head comes at once: {first} us");
    assert!(!totals.service.contains_key(&head) || totals.service[&head].is_empty(), "never a service time");
    // Conflicts are told by their status, orders that do not come by the time limit.
    let errors = totals.errors();
    assert_eq!(errors.get("status").copied().unwrap_or(0), finished(steps[3]), "{errors:?}");
    assert_eq!(errors.get("timeout").copied().unwrap_or(0), finished(steps[4]), "{errors:?}");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(totals.statuses().values().sum::<u64>(), finished(steps[3]), "{:?}", totals.statuses());
    let sum = steps.iter().map(|s| finished(*s)).sum::<u64>();
    assert_eq!(totals.sum(|c| c.completed), sum, "what is timed inside a step is in no total");
    assert_eq!(totals.sum(|c| c.open_sessions), 0);
}

#[test]
fn held_visitors_talk_over_websockets_and_end_with_the_load() {
    let plan = walk("shop-live", "sessions = 5", LONG_MS);
    let (open, say, leave) = (
        step(&plan, "shop-live open feed"),
        step(&plan, "shop-live say"),
        step(&plan, "shop-live leave feed"),
    );
    let exchange = step(&plan, "shop-live say (exchange)");
    let said = |t: &Totals| t.finished.get(&say).is_some_and(|n| *n >= 10);
    let totals = run_until(plan.clone(), serve(shop), said);
    assert_eq!(totals.errors(), BTreeMap::new());
    let finished = |s: u16| totals.finished.get(&s).copied().unwrap_or(0);
    assert!(finished(say) >= 10, "{:?}", totals.finished);
    assert_eq!(finished(open), finished(leave), "{:?}", totals.finished);
    assert_eq!(finished(say), finished(exchange), "each exchange is recorded once");
    assert!(totals.response[&exchange].max() > 0, "to the microsecond, not to the millisecond");
    assert_eq!(totals.done.values().map(|d| d.cut).sum::<u64>(), 0);

    let mut lanes = Lanes::new(&plan.steps);
    let mut names_of = BTreeSet::new();
    for update in totals.updates.iter().filter(|u| matches!(u, LoadUpdate::Histograms(..))) {
        for reading in lanes.read(update) {
            if let Reading::Lane(spec) = reading
                && spec.subject.starts_with("shop-live say")
            {
                names_of.insert((spec.subject, spec.name));
            }
        }
    }
    let want = [
        ("shop-live say", names::RESPONSE),
        ("shop-live say", names::SERVICE),
        ("shop-live say (exchange)", names::EXCHANGE),
    ];
    assert_eq!(names_of, want.map(|(s, n)| (s.to_owned(), n.to_owned())).into_iter().collect());
}

/// Who has logged in.
static LOGGED_IN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn entrance(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    let body = read_body(head, s)?;
    if path == "/login" {
        LOGGED_IN.lock().unwrap().push(body);
    }
    ok(s, "{\"token\":\"t\"}")
}

#[test]
fn each_seed_has_visitors_of_its_own() {
    let address = serve(entrance);
    let logged_in = |seed| {
        let plan = RunPlan { seed, ..walk("shop-checkout", "arrivals = \"20/s\"", 300) };
        let totals = run(plan, address, 1);
        assert_eq!(totals.errors(), BTreeMap::new());
        let mut all = std::mem::take(&mut *LOGGED_IN.lock().unwrap());
        all.sort_unstable();
        all
    };
    let first = logged_in(1);
    assert!(first.len() >= 5, "{} visitors", first.len());
    assert_eq!(logged_in(1), first, "the same seed");
    assert_ne!(logged_in(2), first, "another one");
}

/// Where visitors have come from, and whether they asked for compressed answers.
static COME: Mutex<BTreeSet<(IpAddr, bool)>> = Mutex::new(BTreeSet::new());

fn gate(_: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    read_body(head, s)?;
    let asks = field(head, "accept-encoding").is_some_and(|codings| codings.contains("gzip"));
    COME.lock().unwrap().insert((s.peer_addr()?.ip(), asks));
    ok(s, "{\"token\":\"t\"}")
}

#[test]
#[cfg(target_os = "linux")] // which owns all of 127.0.0.0/8
fn what_a_plan_says_of_connections_holds_for_journeys_too() {
    let address = serve(gate);
    let sources: Vec<IpAddr> = ["127.0.0.2", "127.0.0.3"].map(|ip| ip.parse().unwrap()).to_vec();
    for compression in [false, true] {
        let mut plan = walk("shop-checkout", "arrivals = \"20/s\"", 300);
        plan.transport = Transport { sources: sources.clone(), compression, ..Transport::default() };
        let totals = run(plan, address, 1);
        assert_eq!(totals.errors(), BTreeMap::new());
        let come = std::mem::take(&mut *COME.lock().unwrap());
        assert_eq!(come, sources.iter().map(|ip| (*ip, compression)).collect());
    }
}

#[test]
fn a_target_over_tls_is_refused_before_the_run() {
    let plan = walk("shop-browse", "sessions = 1", 100);
    let mut options = options(plan, "127.0.0.1:1".parse().unwrap(), 1);
    options.url.tls = true;
    let told = runtime().block_on(loadgen::Coordinator::start(options)).unwrap_err().to_string();
    insta::assert_snapshot!(told, @"coded journeys go to http:// targets only; steps in TOML go to https:// too");
}

#[test]
fn a_target_that_refuses_is_named_and_not_hammered() {
    let errors = run_at_gone(walk("shop-browse", "sessions = 3", 1_000)).errors();
    let refused = errors["connect-refused"];
    assert!((3..=45).contains(&refused), "{errors:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}
