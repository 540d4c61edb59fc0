//! Requests that are sent at once: how many connections carry them, what is timed, what is kept.

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::common::*;
use crate::server::*;
use loadgen::LoadUpdate;
use scenarios::plan::*;

/// Requests that are being answered, and the most that ever were at once.
static OPEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

const SLOW_MS: u64 = 40;

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    match path {
        "/counted" => {
            MOST.fetch_max(OPEN.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(SLOW_MS));
            OPEN.fetch_sub(1, Ordering::SeqCst);
            ok(s, "{}")
        }
        "/slow" => {
            sleep(Duration::from_millis(SLOW_MS));
            ok(s, "{\"id\":\"slow\"}")
        }
        "/quick" => ok(s, "{\"id\":\"quick\"}"),
        "/never" => idle(s),
        "/once" => {
            ok(s, "{}")?;
            Ok(false)
        }
        "/cookie" => {
            let answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=7; Path=/\r\nContent-Length: 0\r\n\r\n";
            std::io::Write::write_all(s, answer)?;
            Ok(true)
        }
        path if path.starts_with("/kept/") => {
            KEPT.lock().unwrap().push(format!("{path} {}", field(head, "Cookie").unwrap_or("-")));
            ok(s, "{}")
        }
        _ => ok(s, "{}"),
    }
}

fn group(connections: u16, requests: Vec<Request>) -> Step {
    Step::Parallel(Box::new(Parallel { requests, connections }))
}

fn saving(id: u16, path: &str, slot: u16) -> Request {
    let mut request = request(id, "GET", path);
    let from = Capture::Json("$.id".to_owned());
    request.saves.push(Save { slot: Slot(slot), from, pick: Pick::First });
    request
}

fn most_connections(totals: &Totals) -> u64 {
    let open = totals.updates.iter().filter_map(|u| match u {
        LoadUpdate::Counters(_, c) => Some(c.open_connections),
        _ => None,
    });
    open.max().unwrap_or(0)
}

#[test]
fn a_group_shares_its_connections_and_keeps_them() {
    let requests = (0..6).map(|i| request(i, "GET", "/counted")).collect();
    let plan = plan(held(1), LONG_MS, vec![forever(None, vec![group(2, requests)])]);
    let totals =
        run_until(plan, serve(act), |t| t.sum(|c| c.completed) >= 6 * 6 && MOST.load(Ordering::SeqCst) >= 2);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((MOST.load(Ordering::SeqCst), most_connections(&totals)), (2, 2));
    let groups = totals.finished[&0];
    assert!(groups > 1);
    assert!((0..6).all(|i| totals.finished[&i] == groups), "{:?}", totals.finished);
    // All are intended for the group's start: the last pair has waited for the two before it, and takes no longer itself.
    let (last, itself) = (totals.response[&5].min(), totals.service[&5].min());
    assert!(last > (3 * SLOW_MS - 5) * 1000, "the last one was there after {last} us");
    assert!(itself < last / 2, "it takes {itself} of {last} us itself");
    assert_eq!(totals.sum(|c| c.offered), totals.sum(|c| c.achieved));
    assert_eq!(totals.sum(|c| c.replaced + c.retried), 0);
}

#[test]
fn what_is_saved_is_that_of_the_file_s_order() {
    let kept = Template(vec![Part::Text("/kept/".into()), Part::Var(Slot(0)), Part::Var(Slot(1))]);
    let look = |id| Request { path: kept.clone(), ..request(id, "GET", "/") };
    // The slower one comes first, so the quick one's value stays; what is skipped saves nothing.
    let mut skipped = saving(2, "/slow", 0);
    let set = Test::Set(Operand::Value(Part::Var(Slot(3))));
    skipped.when = Some(Condition { text: "absent".into(), test: set });
    let first = vec![saving(0, "/slow", 0), saving(1, "/quick", 0), skipped, request(3, "GET", "/cookie")];
    // Inside a group nobody sees what others save.
    let second = vec![saving(4, "/quick", 1), look(5)];
    let steps = vec![group(1, first), group(6, second), Step::Request(Box::new(look(6)))];
    let mut plan = plan(held(1), LONG_MS, steps);
    plan.transport.cookies = true;
    let totals = run_until(plan, serve(act), |t| t.sum(|c| c.kinds[0].ended) >= 3);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert!(!totals.finished.contains_key(&2));
    let mut heard = KEPT.lock().unwrap().clone();
    heard.sort();
    heard.dedup();
    assert_eq!(heard, ["/kept/quick sid=7", "/kept/quickquick sid=7"]);
    assert_eq!(totals.sum(|c| c.offered), totals.sum(|c| c.achieved));
}

#[test]
fn each_request_has_its_own_end() {
    let requests = vec![request(0, "GET", "/never"), request(1, "GET", "/quick"), request(2, "GET", "/once")];
    let mut plan = plan(held(2), LONG_MS, vec![forever(None, vec![group(6, requests)])]);
    // So long that a busy machine is no cause of a further one.
    plan.timeout_ns = 5000 * MS;
    let totals = run_until(plan, serve(act), done(2 * 2 * 3));
    let errors = totals.errors();
    assert_eq!(errors.keys().copied().collect::<Vec<_>>(), ["timeout"]);
    assert_eq!(errors["timeout"], totals.finished[&0]);
    assert!(totals.finished[&1] > 1 && totals.finished[&2] == totals.finished[&1], "{:?}", totals.finished);
    assert!(most_connections(&totals) <= 6);
    assert_eq!(totals.done[&0].cut, 0, "lanes are no sessions");
}

#[test]
fn single_passes_share_pooled_connections() {
    let requests = (0..3).map(|i| request(i, "GET", "/quick")).collect();
    let plan = plan(Model::Requests { from: 50.0, to: 50.0 }, 600, vec![group(3, requests)]);
    let totals = run(plan, serve(act), 1);
    assert!(totals.errors().is_empty() && totals.finished[&2] == 30, "{:?}", totals.errors());
    // Three for each pass that is under way, and no more of them are at once than come while one is.
    let slowest = (0..3).map(|i| totals.response[&i].max()).max().unwrap();
    let (most, at_once) = (most_connections(&totals), 2 + 50 * slowest / 1_000_000);
    assert!(most <= 3 * at_once, "{most} connections, an answer took {slowest} us");
}

#[test]
fn a_target_that_is_gone_is_not_hammered_by_groups() {
    let requests = (0..6).map(|i| request(i, "GET", "/quick")).collect();
    let plan = plan(held(1), 500, vec![forever(None, vec![group(6, requests)])]);
    let errors = run_at_gone(plan).errors();
    assert!(errors.keys().all(|k| ["connect-refused", "reset"].contains(k)), "{errors:?}");
    assert!((6..80).contains(&errors.values().sum::<u64>()), "{errors:?}");
}
