//! What a scenario says in TOML is what a real server hears and what the figures show.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;

use crate::common::{Totals, run};
use crate::server::{ok, serve};
use scenarios::{Origin, Overrides, parse};

/// Requests by path, and what stood in their heads.
static HEARD: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    HEARD.lock().unwrap().entry(path.to_owned()).or_default().push(head.to_owned());
    match path.split('?').next().unwrap() {
        "/order" => ok(s, "your order-17 is sent, order-18 follows"),
        // To the byte as long as a value may be, and one byte longer.
        "/long" => ok(s, &format!("{{\"fits\":\"{0}\",\"long\":\"{0}x\"}}", "x".repeat(64 << 10))),
        "/rooms" => ok(s, r#"{"total":6,"rooms":[{"id":1},{"id":2},{"id":3}],"owner":null}"#),
        _ => ok(s, "{}"),
    }
}

/// Runs the session steps once in each of `n` sessions; gives the totals and what the step names are.
fn session(address: SocketAddr, n: u32, steps: &str) -> (Totals, Vec<String>) {
    let text = format!(
        "seed = 7\ntimeout = \"30s\"\n[target]\nurl = \"http://{address}\"\n[[phase]]\nname = \"p\"\nfor = \"60s\"\nsessions = {n}\niterations = 1\n[[session]]\nname = \"s\"\nsteps = [\n{steps}\n]\n"
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
fn a_value_that_is_too_long_is_not_kept() {
    let steps = r#"
      { name = "long", get = "/long", save = { fits = "$.fits", long = "$.long", found = "regex:\"long\":\"(x+)", page = "body", n = "$.long | count" } },
      { name = "kept", get = "/kept-long/${n}", if = "fits and n == 1" },
      { name = "not kept", get = "/not-kept", if = "long or found or page" },
    "#;
    let (totals, _) = session(serve(act), 1, steps);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!((heard("/kept-long/1").len(), heard("/not-kept").len()), (1, 0));
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
    assert_eq!(totals.statuses(), BTreeMap::from([(200, 2)]));
}

#[test]
fn conditions_choose_between_steps_and_end_loops() {
    let steps = r#"
      { name = "rooms", get = "/rooms", save = { total = "$.total", none = "$.nobody", n = "$.rooms[*] | count" } },
      { if = "total == 6 and not none", steps = [{ name = "a", get = "/if/then" }], else = [{ name = "b", get = "/if/else" }] },
      { if = "none or total < 6", steps = [{ name = "a", get = "/if/wrong" }], else = [{ name = "b", get = "/if/other" }] },
      { think = "1h", if = "total matches '^7'" },
      { repeat = "until status == 200", at-most = 5, steps = [{ name = "poll", get = "/poll", save = { status = "status" } }] },
      { repeat = "while status == 404", steps = [{ name = "never", get = "/if/never" }] },
      { repeat = "while status == 200", at-most = 3, steps = [{ name = "thrice", get = "/if/thrice" }] },
      { group = "last", steps = [{ name = "end", get = "/if/end", if = "n >= 3" }] },
    "#;
    let (totals, names) = session(serve(act), 2, steps);
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    assert_eq!(names.last().unwrap(), "last / end");
    let paths = |path: &str| heard(path).len();
    assert_eq!([paths("/if/then"), paths("/if/else"), paths("/if/wrong"), paths("/if/other")], [2, 0, 0, 2]);
    assert_eq!([paths("/poll"), paths("/if/never"), paths("/if/thrice"), paths("/if/end")], [2, 0, 6, 2]);
}

#[test]
fn choices_keep_their_weights_and_follow_from_the_seed() {
    let steps = |to: &str| {
        format!(
            r#"{{ repeat = 40, steps = [
              {{ choose = [
                {{ weight = 3, steps = [{{ name = "often", get = "/{to}/often" }}] }},
                {{ steps = [{{ name = "seldom", get = "/{to}/seldom" }}] }},
              ] }},
            ] }},"#
        )
    };
    let counts = ["first", "second"].map(|to| {
        let (totals, _) = session(serve(act), 10, &steps(to));
        assert!(totals.errors().is_empty(), "{:?}", totals.errors());
        (heard(&format!("/{to}/often")).len(), heard(&format!("/{to}/seldom")).len())
    });
    let (often, seldom) = counts[0];
    assert_eq!(often + seldom, 400);
    // 300 are expected; their standard deviation is 8.7.
    assert!((250..350).contains(&often), "{often}");
    assert_eq!(counts[0], counts[1]);
}
