//! Mistakes: each is explained with its place, and no text whatever makes the reader panic.

use std::fmt::Write as _;
use std::path::PathBuf;

use dynamometer_scenarios::{
    LoadFlags, Origin, Overrides, Quick, ScenarioError, load, mappings, parse, quick,
};
use proptest::prelude::*;

/// A good scenario with `change` made to it.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

const GOOD: &str = r#"about = "x"
[target]
url = "bundled"
[data.users]
rows = [{ name = "ann" }]
[[phase]]
name = "steady"
for = "60s"
sessions = 10
[[session]]
name = "s"
steps = [
  { name = "log in", post = "/login", json = { user = "${users.name}" }, save = { token = "$.token" } },
  { name = "ws", connect = "/ws?token=${token}" },
  { repeat = "until-end", every = "exp(1s)", steps = [
    { name = "say", send = '{"op":"say","id":"${uuid()}"}', await = { json = "$.id", equals = "${sent.id}", within = "2s" } },
  ] },
]
[[fault]]
name = "pool-too-small"
at = "10s"
for = "5s"
capacity = 2
[[gate]]
that = "p99 < 250ms for say"
"#;

const CASES: &[(&str, &str, &str)] = &[
    ("not TOML", "sessions = 10", "sessions = = 10"),
    (
        "a lane that is none",
        "[data.users]",
        "[[target.metric]]\nname = \"a\"\nlane = \"pool.main.waitres\"\n[data.users]",
    ),
    ("a metric without a name", "[data.users]", "[[target.metric]]\nlane = \"heap.used\"\n[data.users]"),
    (
        "a unit of something else",
        "[data.users]",
        "[[target.metric]]\nname = \"a\"\nlane = \"server.handler\"\nunit = \"KiB\"\n[data.users]",
    ),
    ("no member", "[data.users]", "[[target.metric]]\nname = \"a\"\nlane = \"cache.*.hits\"\n[data.users]"),
    (
        "a member for nothing",
        "[data.users]",
        "[[target.metric]]\nname = \"a\"\nlane = \"heap.used\"\nmember = \"pool\"\n[data.users]",
    ),
    ("a message without a size", "connect = \"/ws?token=${token}\"", "connect = \"/ws\", max-message = 5"),
    ("a size without unit", "connect = \"/ws?token=${token}\"", "connect = \"/ws\", max-message = \"5\""),
    (
        "a window too small",
        "connect = \"/ws?token=${token}\"",
        "connect = \"/ws\", deflate = { client-max-window-bits = 8 }",
    ),
    ("no subprotocol", "connect = \"/ws?token=${token}\"", "connect = \"/ws\", subprotocol = []"),
    ("too many pings", "connect = \"/ws?token=${token}\"", "connect = \"/ws\", ping-every = \"1ms\""),
    (
        "not base64",
        "send = '{\"op\":\"say\",\"id\":\"${uuid()}\"}', await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "send-binary = \"&&\"",
    ),
    (
        "not a pattern",
        "await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "await = { regex = \"(\" }",
    ),
    (
        "awaited in two ways",
        "await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "await = { regex = \"a\", binary = true }",
    ),
    (
        "nothing awaited",
        "await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "await = { binary = false }",
    ),
    (
        "a status of a message",
        "within = \"2s\" } },\n  ] },",
        "within = \"2s\" }, check = { status = 200 } },\n  ] },",
    ),
    (
        "a header field of a message",
        "within = \"2s\" } },\n  ] },",
        "within = \"2s\" }, save = { a = \"header:Location\" } },\n  ] },",
    ),
    (
        "a check of bytes",
        "await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "await = { binary = true }, check = { size = \"< 1KiB\" }",
    ),
    (
        "a check of nothing",
        ", await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        ", check = { size = \"< 1KiB\" }",
    ),
    ("an event awaited behind a message", "await = { json", "await = { event = \"said\", json"),
    (
        "an event without a stream",
        "send = '{\"op\":\"say\",\"id\":\"${uuid()}\"}', await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "await = { event = \"said\" }",
    ),
    (
        "an empty type",
        "connect = \"/ws?token=${token}\" },",
        "events = \"/s\" }, { name = \"e\", await = { event = \"\" } },",
    ),
    (
        "a binary event",
        "connect = \"/ws?token=${token}\" },",
        "events = \"/s\" }, { name = \"e\", await = { binary = true } },",
    ),
    (
        "nothing said of an event",
        "connect = \"/ws?token=${token}\" },",
        "events = \"/s\" }, { name = \"e\", await = {} },",
    ),
    (
        "closing what is none",
        "connect = \"/ws?token=${token}\" },",
        "events = \"/s\" }, { close = \"event\" },",
    ),
    (
        "a code that is no client's",
        "  { repeat = \"until-end\"",
        "  { close = 1006 },\n  { repeat = \"until-end\"",
    ),
    ("a code that is none", "  { repeat = \"until-end\"", "  { close = 7 },\n  { repeat = \"until-end\""),
    ("closing nothing", "connect = \"/ws?token=${token}\" },", "events = \"/s\" }, { close = false },"),
    (
        "a misspelt option of a stream",
        "connect = \"/ws?token=${token}\" }",
        "events = \"/s\", reconect = true }",
    ),
    (
        "an event without a size",
        "connect = \"/ws?token=${token}\" }",
        "events = \"/s\", max-event = \"1GiB\" }",
    ),
    ("a string without its end", "name = \"steady\"", "name = \"steady"),
    ("a key twice", "sessions = 10", "sessions = 10\nsessions = 11"),
    ("unknown key at the top", "about =", "abuot ="),
    ("unknown key in a phase", "sessions = 10", "sesions = 10"),
    ("no load", "sessions = 10\n", ""),
    ("two load models", "sessions = 10", "sessions = 10\narrivals = \"1/s\""),
    ("a duration without unit", "for = \"60s\"", "for = 60"),
    ("a duration of another kind", "for = \"60s\"", "for = \"sixty seconds\""),
    ("a rate without unit", "sessions = 10", "arrivals = 10"),
    ("a rate per fortnight", "sessions = 10", "requests = \"10/sec\""),
    ("too many sessions", "sessions = 10", "sessions = 99999999999999999999"),
    ("half a ramp", "sessions = 10", "sessions = { from = 1, too = 2 }"),
    ("single table", "[[phase]]", "[phase]"),
    ("TLS without TLS", "url = \"bundled\"", "url = \"bundled\"\ntls = { insecure = true }"),
    ("TLS version", "url = \"bundled\"", "url = \"https://x\"\ntls = { versions = \"1.1\" }"),
    ("half a proof", "url = \"bundled\"", "url = \"https://x\"\ntls = { cert = \"Cargo.toml\" }"),
    ("no such authority", "url = \"bundled\"", "url = \"https://x\"\ntls = { ca = \"nobody.pem\" }"),
    ("unknown TLS key", "url = \"bundled\"", "url = \"https://x\"\ntls = { insecur = true }"),
    ("too many redirects", "url = \"bundled\"", "url = \"bundled\"\nredirects = 21"),
    ("a source that is a name", "url = \"bundled\"", "url = \"bundled\"\nsources = [\"10.0.0.2\", \"eth0\"]"),
    ("a cookie's name", "\"$.token\"", "\"cookie:a b\""),
    ("no scheme", "url = \"bundled\"", "url = \"127.0.0.1:3000\""),
    ("a misspelt target", "url = \"bundled\"", "url = \"bundeld\""),
    ("environment not set", "url = \"bundled\"", "url = \"bundled\"\nenv = [\"DYNO_TEST_UNSET_VARIABLE\"]"),
    ("unknown variable", "${token}", "${tokn}"),
    ("unknown function", "${uuid()}", "${uid()}"),
    ("function without brackets", "${uuid()}", "${uuid}"),
    ("unknown column", "${users.name}", "${users.nmae}"),
    ("unknown field sent", "${sent.id}", "${sent.idd}"),
    ("hole without end", "${token}", "${token"),
    ("no verb", "post = \"/login\"", "pots = \"/login\""),
    ("two verbs", "post = \"/login\"", "post = \"/login\", get = \"/\""),
    ("step without name", "name = \"log in\", ", ""),
    ("path with host", "\"/login\"", "\"http://a/login\""),
    ("path with a host over TLS", "\"/login\"", "\"https://a/login\""),
    ("path with space", "\"/login\"", "\"/log in\""),
    ("JSONPath", "\"$.token\"", "\"$.token[\""),
    ("filter", "\"$.token\"", "\"$.token | rand\""),
    ("send before connect", "connect = \"/ws?token=${token}\"", "get = \"/ws?token=${token}\""),
    ("spinning loop", ", every = \"exp(1s)\", steps = [", ", steps = [] }, { repeat = 2, steps = ["),
    ("zipf order", "rows = [{ name = \"ann\" }]", "rows = [{ name = \"ann\" }]\norder = \"zipff(1)\""),
    ("rows differ", "{ name = \"ann\" }", "{ name = \"ann\" }, { nam = \"bob\" }"),
    ("a number that is none", "name = \"ann\"", "name = nan"),
    ("a number that is too long", "name = \"ann\"", "name = 99999999999999999999"),
    ("a check of nothing", "save = {", "check = { json = {} }, save = {"),
    (
        "a long word in a gate",
        "p99 < 250ms for say",
        "pxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx < 1",
    ),
    ("data file missing", "rows = [{ name = \"ann\" }]", "file = \"nobody.csv\""),
    ("unknown action", "[[fault]]", "[[action]]\ndo = \"relaod\"\nat = \"1s\"\n[[fault]]"),
    ("an action without a time", "[[fault]]", "[[action]]\ndo = \"reload\"\n[[fault]]"),
    ("an action too late", "[[fault]]", "[[action]]\ndo = \"reload\"\nat = \"90s\"\n[[fault]]"),
    ("nothing to ignore", "{ name = \"log in\"", "{ ignore = \"1s\" }, { name = \"log in\""),
    (
        "an end that is not awaited",
        "await = { json = \"$.id\", equals = \"${sent.id}\", within = \"2s\" }",
        "await = { closed = false }",
    ),
    ("unknown fault", "\"pool-too-small\"", "\"pool-to-small\""),
    ("unknown knob", "capacity = 2", "capacty = 2"),
    ("knob out of range", "capacity = 2", "capacity = 99"),
    ("fault too late", "at = \"10s\"", "at = \"2m\""),
    ("gate that is none", "p99 < 250ms for say", "p99 << 250ms"),
    ("gate of an unknown step", "p99 < 250ms for say", "p99 < 250ms for sya"),
    ("gate of an unknown phase", "p99 < 250ms for say", "p99 < 250ms in phase stedy"),
    ("requests and WebSocket", "sessions = 10", "requests = \"10/s\""),
    ("a header of the engine", "save = {", "headers = { Host = \"x\" }, save = {"),
    ("status", "save = {", "check = { status = 2000, time = \"1s\" }, save = {"),
    (
        "no such protection",
        "url = \"bundled\"",
        "url = \"bundled\"\ncache = { protection = \"single flight\" }",
    ),
    ("a cache that keeps nothing", "sessions = 10", "sessions = 10\ncache = { ttl = \"0s\" }"),
    ("an entry for a day", "sessions = 10", "sessions = 10\ncache = { ttl = \"24h\" }"),
    ("more jitter than there is", "sessions = 10", "sessions = 10\ncache = { jitter = 2 }"),
    ("a jitter in words", "sessions = 10", "sessions = 10\ncache = { jitter = \"some\" }"),
    ("an unknown setting of the cache", "sessions = 10", "sessions = 10\ncache = { tll = \"1s\" }"),
];

fn errors(text: &str) -> Result<(), ScenarioError> {
    let origin = Origin { name: "shop".into(), file: Some(PathBuf::from("shop.toml")) };
    parse(text, &origin, &Overrides::default()).map(|_| ())
}

#[test]
fn every_mistake_is_explained() {
    errors(GOOD).unwrap_or_else(|e| panic!("{e}"));
    let mut all = String::new();
    for (what, from, to) in CASES {
        let e = errors(&changed(from, to)).expect_err(what);
        assert!(e.mistakes.iter().all(|m| m.place.is_some()), "{what}: {e}");
        let _ = write!(all, "## {what}\n{e}\n\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text =
        changed("sessions = 10", "sesions = 10").replace("\"60s\"", "60").replace("${token}", "${tokn}");
    insta::assert_snapshot!(errors(&text).unwrap_err());
}

#[test]
fn a_wrong_phase_makes_nothing_else_too_late() {
    let phase = "[[phase]]\nname = \"later\"\nfor = \"60s\"\nsesions = 10\n[[session]]";
    let text = changed("[[session]]", phase).replace("at = \"10s\"", "at = \"70s\"");
    let told = errors(&text).unwrap_err().to_string();
    assert!(told.contains("unknown key `sesions`") && !told.contains("has ended"), "{told}");
}

#[test]
fn what_cannot_be_attached_is_told_where_it_stands() {
    let text = changed("url = \"bundled\"", "url = \"bundled\"\nattach = [\"good\", \"bad\"]");
    let origin = Origin { name: "shop".into(), file: Some(PathBuf::from("shop.toml")) };
    fn judge(text: &str) -> Result<(), String> {
        if text == "bad" { Err("one of good".to_owned()) } else { Ok(()) }
    }
    let overrides = Overrides { attach: Some(judge), ..Overrides::default() };
    insta::assert_snapshot!(parse(&text, &origin, &overrides).unwrap_err(), @r#"
    `bad` is nothing that can be attached
      --> shop.toml:4:19
      |
    4 | attach = ["good", "bad"]
      |                   ^^^^^
      = expected: one of good
    "#);
    errors(&text).unwrap_or_else(|e| panic!("nobody judges it: {e}"));
}

#[test]
fn a_list_without_entries_is_as_good_as_none() {
    let head = "[target]\nurl = \"bundled\"\n";
    let phase = "[[phase]]\nname = \"p\"\nfor = \"1s\"\nsessions = 1\n";
    let session = "[[session]]\nname = \"s\"\nsteps = [{ name = \"a\", get = \"/\" }]\n";
    for (text, says) in [
        (format!("session = []\n{head}{phase}"), "this scenario has no [[session]]"),
        (format!("phase = []\n{head}{session}"), "this scenario has no [[phase]]"),
        (format!("phase = 3\n{head}{session}"), "tables, each headed [[phase]]"),
    ] {
        let told = errors(&text).unwrap_err();
        assert!(told.mistakes.len() == 1 && told.to_string().contains(says), "{text}: {told}");
    }
}

#[test]
fn what_the_target_says_of_authentication_is_read_if_nobody_takes_it_up_too() {
    let with = |auth: &str| {
        let target = format!("url = \"bundled\"\nauth = {auth}");
        let text = changed("url = \"bundled\"", &target);
        errors(&text.replacen("[[session]]\n", "[[session]]\nauth = \"none\"\n", 1))
    };
    let told = with("{ bearr = \"x\", basic = 3 }").unwrap_err().to_string();
    assert!(told.contains("unknown key `bearr`"), "{told}");
    assert!(with("{ bearer = \"${tokn}\" }").unwrap_err().to_string().contains("tokn"));
    assert!(with("{ bearer = \"${token}\" }").is_ok(), "it may name a kind's variables");
    assert!(with("{ jwt = { secret = \"hush\" } }").is_ok());
}

#[test]
fn mistakes_in_options_and_names() {
    let mut all = String::new();
    for name in
        ["flash-sal", "zzz", "http://127.0.0.1:3000/", ":3000", "localhost:3000", "./nobody.toml", "/"]
    {
        let _ = write!(all, "{}\n\n", load(name, &Overrides::default()).unwrap_err());
    }
    let overrides = Overrides {
        target: Some("wss://x".into()),
        gates: vec!["p99 <".into()],
        vars: [("KEY".to_owned(), String::new())].into(),
        ..Overrides::default()
    };
    let _ = write!(all, "{}\n\n", load("flash-sale", &overrides).unwrap_err());
    let wrong = Quick {
        url: "https://a/b".into(),
        load: LoadFlags { sessions: Some(0), for_: Some("30".into()), ..LoadFlags::default() },
        gates: vec!["x".into()],
        ..Quick::default()
    };
    let _ = writeln!(all, "{}", quick(&wrong).unwrap_err());
    insta::assert_snapshot!(all);
}

#[test]
fn a_lock_of_all_workers_wants_a_cache_that_they_share() {
    let vars = [("one".to_owned(), "lock".to_owned())];
    let apart = Overrides { vars: vars.into(), caches_apart: true, ..Overrides::default() };
    insta::assert_snapshot!(load("cache-expiry", &apart).unwrap_err(), @r#"
    protection is `lock`, which needs a cache that all workers share
       --> cache-expiry (catalogue):29:24
       |
    29 | cache = { protection = "${vars.one}", ttl = "1s", jitter = 0.0 }
       |                        ^^^^^^^^^^^^^
       = expected: another protection, or a cache on Redis, where the lock lives: name one by DYNO_CACHE_URL
    "#);
    // Where it is shared, or is not told to anybody.
    load("cache-expiry", &Overrides { caches_apart: false, ..apart.clone() }).unwrap();
    load("cache-expiry", &Overrides { target: Some("http://127.0.0.1:1".into()), ..apart }).unwrap();
}

#[test]
fn an_empty_file_says_what_a_scenario_needs() {
    insta::assert_snapshot!(errors("").unwrap_err());
}

#[test]
fn a_file_of_metrics_holds_nothing_else_and_its_mistakes_have_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    let lane = "[[target.metric]]\nname = \"a\"\nlane = \"heap.usde\"\n";
    let (seed, phase) = (format!("seed = 1\n{lane}"), format!("{lane}[[phase]]\nname = \"p\"\n"));
    let none = mappings(&path).unwrap_err().to_string();
    assert!(none.contains("own.toml cannot be read: there is no such file"), "{none}");
    for (text, what, line, more) in [
        ("", "a file of metrics lacks `target`", 1, "expected: [[target.metric]] with name and lane"),
        ("[target]\n", "lacks `metric`", 1, "expected: [[target.metric]] with name and lane"),
        ("target = 1\n", "this is a whole number", 1, "[target] of a file of metrics takes metric"),
        ("[target.metric]\nname = \"a\"\n", "this is a table", 1, "tables, each headed [[target.metric]]"),
        (seed.as_str(), "unknown key `seed` in a file of metrics", 1, "expected: one of target"),
        (phase.as_str(), "unknown key `phase` in a file of metrics", 4, "expected: one of target"),
        (lane, "there is no lane `heap.usde` that a metric can fill", 3, "did you mean `heap.used`?"),
        ("nonsense\n", "this is not TOML", 1, "^"),
    ] {
        std::fs::write(&path, text).unwrap();
        let told = mappings(&path).unwrap_err().to_string();
        let place = format!("own.toml:{line}:");
        assert!([what, &place, more].iter().all(|part| told.contains(part)), "{text}: {told}");
    }
}

#[test]
fn hostile_files_give_an_error_soon() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let loops = {
        let mut inner = "{ think = \"1s\" }".to_owned();
        for _ in 0..20 {
            inner = format!("{{ repeat = 2, steps = [{inner}] }}");
        }
        changed("{ name = \"ws\"", &format!("{inner}, {{ name = \"ws\""))
    };
    let many =
        changed("{ name = \"ws\"", &format!("{} {{ name = \"ws\"", "{ think = \"1s\" },".repeat(20_000)));
    let keys: String = (0..60_000).map(|i| format!("k{i} = 1\n")).collect();
    let long = "x".repeat(2 * 1024 * 1024);
    let mistakes = changed("{ name = \"ws\"", &format!("{} {{ name = \"ws\"", "{ thnk = 1 },".repeat(900)));
    for text in [deep, loops, many, keys + GOOD, long, mistakes] {
        let shown = errors(&text).expect_err("hostile").to_string();
        assert!(shown.len() < 50_000, "{} bytes", shown.len());
    }
}

#[test]
fn a_scenario_s_control_characters_do_not_reach_the_terminal() {
    let e =
        errors(&changed("sessions = 10", "sessions = \"\u{202E}10\" # \u{200B}")).unwrap_err().to_string();
    assert!(!e.contains(['\u{202E}', '\u{200B}', '\x1b']), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutations_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[\\[\\]{}\"'=.,$(){}a-z0-9\\n ä-]{0,6}"), 1..6)
    ) {
        let mut chars: Vec<char> = GOOD.chars().collect();
        for (at, remove, insert) in edits {
            let at = at.index(chars.len().max(1)).min(chars.len());
            let end = (at + remove).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        if let Err(e) = errors(&text) {
            prop_assert!(!e.mistakes.is_empty());
            let _ = e.to_string();
        }
    }

    #[test]
    fn no_text_at_all_panics(text in any::<String>()) {
        let _ = errors(&text).map_err(|e| e.to_string());
    }
}
