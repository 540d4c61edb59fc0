//! Scenarios that must be read: the catalogue, its twins, and the format's own example.

use std::path::PathBuf;

use crate::common::steps;
use dynamometer_scenarios::plan::{
    Awaited, Body, Capture, Check, Compare, Content, Dist, Escape, Model, Operand, Order, Part, Payload,
    Pick, Slot, Step, Target, Test, Times,
};
use dynamometer_scenarios::{
    LoadFlags, Origin, Overrides, Quick, catalog, describe, load, mappings, parse, quick, text_of,
};
use timeline::fault::FaultKind;

fn chat() -> (String, Origin, Overrides) {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/chat.toml"));
    let text = std::fs::read_to_string(&file).expect("the fixture is part of the repository");
    let mut overrides = Overrides::default();
    overrides.vars.insert("CHAT_TOKEN_SECRET".into(), "hush".into());
    (text, Origin { name: "chat".into(), file: Some(file) }, overrides)
}

#[test]
fn every_shipped_scenario_is_read_and_described() {
    let entries = catalog::list();
    // Flash sale and its twin, each fault and its twin, too much load for the target and for the generator with their twins,
    // the stories, the coded journeys.
    assert_eq!(entries.len(), 2 + 2 * FaultKind::ALL.len() + 4 + 12 + 1);
    for entry in entries {
        let plan = load(&entry.name, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plan.target, Target::Bundled, "{}", entry.name);
        assert!(!plan.gates.is_empty(), "{} has no gate", entry.name);
        assert!(
            !entry.about.is_empty() && !entry.teaches.is_empty() && !entry.takes.is_empty(),
            "{}",
            entry.name
        );
        assert_eq!(text_of(&entry.name).unwrap(), entry.text);
        assert!(describe(&plan).ends_with('\n'));
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            serde_json::from_str::<dynamometer_scenarios::plan::RunPlan>(&json).unwrap(),
            plan,
            "{}",
            entry.name
        );
    }
}

#[test]
fn each_fault_has_a_scenario_that_names_its_finding_and_a_clean_twin() {
    for fault in FaultKind::ALL {
        let entry =
            catalog::list().iter().find(|e| e.name == fault.name()).expect("a scenario of the fault's name");
        assert!(entry.teaches.contains(fault.expected().name()), "{}: {}", entry.name, entry.teaches);
        let plan = load(fault.name(), &Overrides::default()).unwrap();
        assert_eq!(plan.injected().iter().map(|f| f.order.name).collect::<Vec<_>>(), [*fault]);
        assert!(plan.length_ns() <= 25_000_000_000);
    }
    for entry in catalog::list().iter().filter(|e| !e.name.ends_with("-clean")) {
        let sick = load(&entry.name, &Overrides::default()).unwrap();
        if sick.faults.is_empty() {
            continue; // it shows something else than a fault
        }
        let mut twin = load(&format!("{}-clean", entry.name), &Overrides::default()).unwrap();
        assert!(twin.faults.is_empty());
        assert!(twin.gates.iter().any(|g| g.that == "no findings"), "{}", twin.name);
        twin.name.clone_from(&sick.name);
        twin.about.clone_from(&sick.about);
        twin.gates.clone_from(&sick.gates);
        twin.faults.clone_from(&sick.faults);
        assert_eq!(twin, sick, "the twin of {} runs another load", entry.name);
    }
}

#[test]
fn flash_sale_is_as_large_and_as_long_as_promised() {
    let plan = load("flash-sale", &Overrides::default()).unwrap();
    assert!((55..=65).contains(&(plan.length_ns() / 1_000_000_000)));
    assert!(plan.phases.iter().any(|p| matches!(p.model, Model::Sessions { to, .. } if to >= 5_000.0)));
    assert_eq!(plan.faults.iter().map(|f| f.order.name).collect::<Vec<_>>(), [FaultKind::Stampede]);
}

#[test]
fn flash_sale_described() {
    insta::assert_snapshot!(describe(&load("flash-sale", &Overrides::default()).unwrap()));
}

#[test]
fn a_variable_may_be_called_like_a_function() {
    let all = steps(
        r#"{ name = "a", get = "/", save = { uuid = "$.id" } }, { name = "b", get = "/${uuid}${uuid()}" }"#,
    );
    let Step::Request(b) = &all[1] else { panic!("{all:?}") };
    assert_eq!(b.path.0, [Part::Text("/".into()), Part::Var(Slot(0)), Part::Uuid]);
}

#[test]
fn the_format_s_example_is_read_completely() {
    let (text, origin, overrides) = chat();
    let plan = parse(&text, &origin, &overrides).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan.steps, ["log in", "open", "say", "rooms", "room"]);
    assert_eq!(plan.phases.len(), 2);
    assert_eq!(plan.phases[0].model, Model::Arrivals { from: 10.0, to: 140.0 });
    assert_eq!(plan.phases[1].model, Model::Sessions { from: 8000.0, to: 8000.0 });
    assert!(plan.phases[0].warmup && !plan.phases[1].warmup);
    assert_eq!(plan.feeders[0].order, Order::Unique);
    assert_eq!(plan.feeders[0].rows[1], ["bob", "battery, staple"]);
    assert_eq!(plan.faults[0].order.knob("capacity"), 4.0);
    assert!(plan.injected().is_empty(), "faults are the bundled backend's alone");
    assert_eq!(plan.gates[1].abort_after_ns, Some(20_000_000_000));
    assert_eq!((plan.seed, plan.slots), (1, 1));
    let [Step::Request(login), Step::Connect(open), Step::Repeat(chat)] = plan.sessions[0].steps.as_slice()
    else {
        panic!("{:?}", plan.sessions[0]);
    };
    let column = |column| Part::Escaped(Escape::Json, Box::new(Part::Column { feeder: 0, column }));
    let text = |t: &str| Part::Text(t.to_owned());
    let (kind, body) = login.body.as_ref().unwrap();
    assert_eq!(kind, "application/json");
    let Body::Whole(Content::Text(body)) = body else { panic!("{body:?}") };
    assert_eq!(body.0, [text("{\"user\":\""), column(0), text("\",\"pass\":\""), column(1), text("\"}")]);
    assert_eq!(login.checks, [Check::Status(vec![(200, 200)]), Check::Time(Compare::Less, 1_000_000_000)]);
    assert_eq!(login.saves[0].from, Capture::Json("$.token".into()));
    assert_eq!(open.path.0, [text("/ws?token="), Part::Var(Slot(0))]);
    assert_eq!(open.subprotocol.as_deref(), Some("chat"));
    assert_eq!((chat.times, chat.every), (Times::UntilEnd, Some(Dist::Exponential(10_000_000_000))));
    let [Step::Send(say)] = chat.steps.as_slice() else { panic!("{:?}", chat.steps) };
    let Payload::Text(said) = &say.payload else { panic!("{say:?}") };
    assert_eq!(said.0[1], Part::Escaped(Escape::Json, Box::new(Part::Uuid)));
    let Awaited::JsonEquals(_, equals) = &say.wait.as_ref().unwrap().what else { panic!("{say:?}") };
    assert_eq!(equals.0, [Part::Sent("id".into())]);
    let [Step::Request(rooms), Step::Think(_), Step::Request(room)] = plan.sessions[1].steps.as_slice()
    else {
        panic!("{:?}", plan.sessions[1]);
    };
    assert_eq!(rooms.saves[0].from, Capture::Json("$.rooms[*].id".into()));
    assert_eq!(rooms.saves[0].pick, Pick::Random);
    assert_eq!(
        room.when.as_ref().map(|when| &when.test),
        Some(&Test::Set(Operand::Value(Part::Var(Slot(0)))))
    );
    insta::assert_snapshot!(describe(&plan));
}

#[test]
fn overrides_come_before_the_file() {
    let (text, origin, mut overrides) = chat();
    overrides.seed = Some(7);
    overrides.target = Some("bundled".into());
    overrides.gates = vec!["no findings".into()];
    let plan = parse(&text, &origin, &overrides).unwrap();
    assert_eq!((plan.seed, plan.target.clone(), plan.gates.len()), (7, Target::Bundled, 3));
    assert_eq!(plan.injected().len(), 1);
}

#[test]
fn everything_else_that_a_scenario_can_say() {
    let text = r#"
timeout = "2s"
grace = "0s"
[target]
url = "http://[::1]:8080/api/"
env = ["KEY"]
[data.items]
rows = [{ id = 1, name = "a" }, { name = "b", id = 2 }]
order = "zipf(1.1)"
[[phase]]
name = "p"
for = "1m30s"
arrivals = "600/min"
[[session]]
name = "s"
steps = [
  { name = "form", post = "/f", form = { z = "${items.name}&", a = 1 }, headers = { X-Key = "${KEY}" }, save = { where = "header:Location" } },
  { name = "text", put = "/t", body = "$${x} ${now}", type = "text/csv" },
  { name = "json", patch = "/j", json = { z = [1, 2.5, true, "q\"${where}"], a = { b = 1979-05-27 } }, check = { status = [200, 201], body = "ok", json = { "$.n" = 3 } } },
  { name = "ws", connect = "/ws", headers = { Origin = "http://x" } },
  { name = "table", send = { op = "say", n = "${int(1, 2)}" }, await = { json = "$.op", equals = "${sent.op}d" } },
  { listen = "1s" },
  { repeat = 3, steps = [{ think = "10ms..20ms" }, { name = "gone", delete = "/d", if = "where" }] },
  { close = true },
]
"#;
    let mut overrides = Overrides::default();
    overrides.vars.insert("KEY".into(), "hush".into());
    let origin = Origin { name: "all".into(), file: None };
    let plan = parse(text, &origin, &overrides).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((plan.grace_ns, plan.timeout_ns), (0, 2_000_000_000));
    assert_eq!(plan.feeders[0].rows, [["1", "a"], ["2", "b"]]);
    assert_eq!(plan.steps.last().unwrap(), "close");
    insta::assert_debug_snapshot!(plan.sessions[0].steps);
    assert!(!format!("{plan:?}").contains("hush") && !describe(&plan).contains("hush"));
    assert!(serde_json::to_string(&plan).unwrap().contains("hush"), "workers need it");
    assert!(!serde_json::to_string(&plan.without_secrets()).unwrap().contains("hush"));
}

const CERT: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";

#[test]
fn tls_and_what_of_http_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    for (name, pem) in [("ca.pem", CERT), ("client.pem", CERT), ("client.key", KEY)] {
        std::fs::write(folder.path().join(name), pem).unwrap();
    }
    let text = r#"
[target]
url = "https://shop.example/api"
tls = { ca = "ca.pem", cert = "client.pem", key = "client.key", insecure = true, server-name = "inner.example", versions = "1.3" }
compression = true
redirects = 3
cookies = true
sources = ["10.0.0.2", "10.0.0.3"]
[[phase]]
name = "p"
for = "10s"
sessions = 1
[[session]]
name = "s"
steps = [
  { name = "up", post = "/up", body = "x", expect-continue = true, redirects = 0, save = { sid = "cookie:sid" } },
]
"#;
    let origin = Origin { name: "all".into(), file: Some(folder.path().join("all.toml")) };
    let plan = parse(text, &origin, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    let Target::Url(url) = &plan.target else { panic!("{:?}", plan.target) };
    assert_eq!((url.tls, url.port), (true, 443));
    insta::assert_snapshot!(describe(&plan));
    let Step::Request(request) = &plan.sessions[0].steps[0] else { panic!() };
    insta::assert_debug_snapshot!((&request.options, &request.saves[0].from));
    assert!(!format!("{plan:?}").contains("hush") && !describe(&plan).contains("hush"));
    assert!(serde_json::to_string(&plan).unwrap().contains("hush"), "workers need it");
    assert!(!serde_json::to_string(&plan.without_secrets()).unwrap().contains("hush"));
}

#[test]
fn a_quick_run_gets_one_address_again_and_again() {
    let plan = quick(&Quick {
        url: "http://127.0.0.1:3000/rooms?page=${int(1, 9)}".into(),
        load: LoadFlags { sessions: Some(50), for_: Some("10s".into()), ..LoadFlags::default() },
        gates: vec!["errors < 1%".into()],
        ..Quick::default()
    })
    .unwrap();
    // The query may hold a key, so it is no name.
    assert_eq!(plan.steps, ["/rooms"]);
    insta::assert_snapshot!(describe(&plan));
}

#[test]
fn metrics_alone_are_read_as_a_scenario_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    let metrics = r#"
[[target.metric]]
name = "shop_mail_backlog"
labels = { queue = "mail" }
lane = "broker.mail.depth"
[[target.metric]]
name = "shop_render_time"
lane = "server.handler"
subject = "page"
unit = "ms"
"#;
    std::fs::write(&path, metrics).unwrap();
    let alone = mappings(&path).unwrap_or_else(|e| panic!("{e}"));
    let rest = "[[phase]]\nname = \"p\"\nfor = \"1s\"\nsessions = 1\n\
        [[session]]\nname = \"s\"\nsteps = [{ name = \"home\", get = \"/\" }]\n";
    let text = format!("[target]\nurl = \"http://127.0.0.1:1\"{metrics}{rest}");
    let origin = Origin { name: "own".into(), file: None };
    let plan = parse(&text, &origin, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((alone.len(), &alone), (2, &plan.metrics));
    let form = Quick { url: "http://127.0.0.1:1/".into(), metrics: alone, ..Quick::default() };
    assert_eq!(quick(&form).unwrap().metrics, plan.metrics);
}

#[test]
fn a_file_is_found_by_its_path_and_its_data_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tea shop.toml");
    std::fs::write(folder.path().join("cups.csv"), "size\nsmall\nlarge\n").unwrap();
    let text = r#"
target = { url = "http://127.0.0.1:1" }
data = { cups = { file = "cups.csv" } }
phase = [{ name = "p", for = "1s", requests = "1/s" }]
session = [{ name = "s", steps = [{ name = "cup", get = "/cups/${cups.size}" }] }]
"#;
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap();
    let plan = load(name, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((plan.name.as_str(), plan.feeders[0].rows.len()), ("tea shop", 2));
    assert_eq!(text_of(name).unwrap(), text);
    let wrong = || load(name, &Overrides::default()).unwrap_err().to_string();
    std::fs::write(folder.path().join("cups.csv"), b"size\nsmall\n\xFF\n").unwrap();
    assert!(wrong().contains("cups.csv:3: this is not UTF-8 text"), "{}", wrong());
    std::fs::write(folder.path().join("cups.json"), "[{ \"size\": \"small\" }]").unwrap();
    std::fs::write(&path, text.replace("cups.csv", "cups.json")).unwrap();
    assert!(wrong().contains("one object a line, with format = \"jsonl\""), "{}", wrong());
    std::fs::write(&path, b"about = \"\n\xFF\"").unwrap();
    assert!(wrong().contains("tea shop.toml:2: this is not UTF-8 text"), "{}", wrong());
}

#[test]
fn websockets_are_used_in_every_way_that_is_described() {
    let text = r#"
[target]
url = "http://127.0.0.1:1"
[[phase]]
name = "p"
for = "1s"
sessions = 1
[[session]]
name = "s"
steps = [
  { name = "open", connect = "/ws", subprotocol = ["v2", "v1"], max-message = "64KiB", max-frame = "1KiB", deflate = { client-no-context-takeover = true, server-max-window-bits = 10 }, push-age = "$.t", ping-every = "10s" },
  { name = "joined", await = { contains = "joined", within = "1s" } },
  { name = "blob", send-binary = "3q2+7w==", await = { binary = true } },
  { name = "who", send = { op = "who" }, await = { json = "$.who" }, check = { time = "< 1s", json = { "$.who" = "not empty" } }, save = { who = "$.who[*].id | random" } },
  { name = "like", await = { regex = "^n[0-9]+$" } },
  { close = 4001 },
]
"#;
    let plan = parse(text, &Origin { name: "ws".into(), file: None }, &Overrides::default())
        .unwrap_or_else(|e| panic!("{e}"));
    let Step::Connect(open) = &plan.sessions[0].steps[0] else { panic!("{:?}", plan.sessions) };
    assert_eq!(open.subprotocol.as_deref(), Some("v2, v1"));
    assert_eq!(open.options.max_message, Some(64 << 10));
    let Step::Send(blob) = &plan.sessions[0].steps[2] else { panic!("{:?}", plan.sessions) };
    assert_eq!(blob.payload, Payload::Binary(vec![0xDE, 0xAD, 0xBE, 0xEF]));
    let told = describe(&plan);
    insta::assert_snapshot!(told[told.find("session kinds").unwrap()..].trim_end());
}

#[test]
fn event_streams_are_used_in_every_way_that_is_described() {
    let text = r#"
[target]
url = "http://127.0.0.1:1"
[[phase]]
name = "p"
for = "1s"
sessions = 1
[[session]]
name = "alone"
steps = [
  { name = "order", post = "/orders", json = {}, save = { id = "$.id" } },
  { name = "stream", events = "/stream?o=${id}", headers = { Last-Event-ID = "7" }, push-age = "$.at", max-event = "64KiB", reconnect = true },
  { name = "paid", await = { event = "paid", json = "$.id", equals = "${id}", within = "2s" }, check = { body = "EUR" }, save = { at = "regex:at=([0-9]+)", all = "body" } },
  { name = "shipped", await = { contains = "shipped" } },
  { listen = "1s" },
  { close = true },
]
[[session]]
name = "beside a WebSocket"
steps = [
  { name = "open", connect = "/ws" },
  { name = "news", events = "/news" },
  { name = "joined", await = { regex = "^joined" } },
  { name = "any", await = { event = true, within = "3s" } },
  { name = "hang up", close = "events" },
  { name = "leave", close = true },
]
"#;
    let plan = parse(text, &Origin { name: "sse".into(), file: None }, &Overrides::default())
        .unwrap_or_else(|e| panic!("{e}"));
    let [
        _,
        Step::OpenEvents(open),
        Step::AwaitEvent(paid),
        Step::AwaitEvent(shipped),
        _,
        Step::CloseEvents(_),
    ] = plan.sessions[0].steps.as_slice()
    else {
        panic!("{:?}", plan.sessions[0])
    };
    assert_eq!((open.options.max_event, open.options.reconnect), (Some(64 << 10), true));
    assert_eq!((paid.kind.as_deref(), paid.within_ns), (Some("paid"), 2_000_000_000));
    assert_eq!(shipped.kind, None);
    let [_, _, Step::Send(_), Step::AwaitEvent(any), Step::CloseEvents(_), Step::Close(_)] =
        plan.sessions[1].steps.as_slice()
    else {
        panic!("{:?}", plan.sessions[1])
    };
    assert_eq!((&any.kind, &any.what), (&None, &None));
    let told = describe(&plan);
    insta::assert_snapshot!(told[told.find("session kinds").unwrap()..].trim_end());
}
