//! What a scenario says in TOML is what a real server hears and what the figures show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;
#[path = "common/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;

use common::{Totals, run};
use scenarios::{Origin, Overrides, parse};
use server::{ok, serve};

/// Requests by path, and what stood in their heads.
static HEARD: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    HEARD.lock().unwrap().entry(path.to_owned()).or_default().push(head.to_owned());
    match path.split('?').next().unwrap() {
        "/order" => ok(s, "your order-17 is sent, order-18 follows"),
        "/rooms" => ok(s, r#"{"total":6,"rooms":[{"id":1},{"id":2},{"id":3}],"owner":null}"#),
        _ => ok(s, "{}"),
    }
}

/// Runs the session steps once for each of `n` arrivals; gives the totals and what the step names are.
fn session(address: SocketAddr, n: u32, steps: &str) -> (Totals, Vec<String>) {
    let text = format!(
        "seed = 7\ntimeout = \"2s\"\n[target]\nurl = \"http://{address}\"\n[[phase]]\nname = \"p\"\nfor = \"1s\"\narrivals = \"{n}/s\"\n[[session]]\nname = \"s\"\nsteps = [\n{steps}\n]\n"
    );
    let origin = Origin { name: "t".to_owned(), file: None };
    let plan = parse(&text, &origin, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    let steps = plan.steps.clone();
    (run(plan, address, 1), steps)
}

fn heard(prefix: &str) -> Vec<String> {
    let all = HEARD.lock().unwrap();
    all.iter().filter(|(path, _)| path.starts_with(prefix)).flat_map(|(_, heads)| heads.clone()).collect()
}

#[test]
fn captures_are_kept_for_later_steps() {
    let steps = r#"
      { name = "order", get = "/order", save = { id = "regex:order-(\\d+)", last = "regex:order-\\d+ | last", n = "regex:order | count", all = "body", code = "status" } },
      { name = "rooms", get = "/rooms", save = { room = "$.rooms[*].id | last", rooms = "$.rooms[*] | count", type = "header:Content-Length" } },
      { name = "look", get = "/kept/${id}/${last}/${n}/${code}/${room}/${rooms}/${type}" },
    "#;
    let (totals, _) = session(serve(act), 3, steps);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    let heads = heard("/kept/");
    assert_eq!(heads.len(), 3);
    assert!(heads[0].starts_with("GET /kept/17/order-18/2/200/3/3/61 "), "{}", heads[0]);
}

#[test]
fn checks_fail_where_they_do_not_hold_and_only_there() {
    let good = r#"
      { name = "a", get = "/rooms", check = { status = "2xx", size = "< 1KiB", header = { content-length = "61" } } },
      { name = "b", get = "/rooms", check = { status = [404, "2xx"], body = "~ \"id\":[0-9]", json = { "$.total" = "> 5", "$.rooms" = "length 3", "$.owner" = "exists", "$.nobody" = "absent" } } },
    "#;
    let bad = r#"
      { name = "c", get = "/rooms", check = { status = "4xx" } },
      { name = "d", get = "/rooms", check = { size = "< 10B" } },
      { name = "e", get = "/rooms", check = { header = { content-length = "~ ^7" } } },
      { name = "f", get = "/rooms", check = { json = { "$.total" = "> 6" } } },
      { name = "g", get = "/rooms", check = { json = { "$.rooms" = "length < 3" } } },
      { name = "h", get = "/rooms", check = { body = "= {}" } },
    "#;
    let (totals, steps) = session(serve(act), 2, &format!("{good}{bad}"));
    assert_eq!(steps.len(), 8);
    assert_eq!(totals.errors(), BTreeMap::from([("status", 2), ("check", 10)]));
}
