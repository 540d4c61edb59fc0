//! Which version of HTTP is spoken, and requests that are sent at once: what can be said, and every mistake in it.

use std::fmt::Write as _;
use std::path::PathBuf;

use dynamometer_scenarios::plan::{Capture, HttpVersion, Of, RunPlan, Step};
use dynamometer_scenarios::{Origin, Overrides, Quick, ScenarioError, describe, parse, quick};

fn read(target: &str, steps: &str, overrides: &Overrides) -> Result<RunPlan, ScenarioError> {
    let text = format!(
        "[target]\n{target}\n[[phase]]\nname = \"p\"\nfor = \"1s\"\nrequests = \"10/s\"\n[[session]]\nname = \"s\"\nsteps = [\n{steps}\n]\n"
    );
    parse(&text, &Origin { name: "shop".into(), file: Some(PathBuf::from("shop.toml")) }, overrides)
}

const ONE: &str = "{ name = \"home\", get = \"/\" },";
const PLAIN: &str = "url = \"http://127.0.0.1:3000\"";

#[test]
fn a_version_is_chosen_by_the_file_or_by_the_command_line() {
    let https = "url = \"https://shop.example\"\nhttp = \"auto\"";
    let say = |http: &str| Overrides { http: Some(http.to_owned()), ..Overrides::default() };
    let of = |target: &str, overrides: &Overrides| read(target, ONE, overrides).unwrap().transport.http;
    assert_eq!(of(PLAIN, &Overrides::default()), HttpVersion::Http1);
    assert_eq!(of("url = \"https://shop.example\"", &Overrides::default()), HttpVersion::Http1);
    assert_eq!(of(&format!("{PLAIN}\nhttp = \"2\""), &Overrides::default()), HttpVersion::Http2);
    assert_eq!(of(https, &Overrides::default()), HttpVersion::Auto);
    assert_eq!(of(https, &say("2")), HttpVersion::Http2);
    assert_eq!(of(&format!("{PLAIN}\nhttp = \"2\""), &say("1.1")), HttpVersion::Http1);
    let flag = Quick { url: "https://shop.example/".into(), http: Some("auto".into()), ..Quick::default() };
    assert_eq!(quick(&flag).unwrap().transport.http, HttpVersion::Auto);
}

#[test]
fn requests_at_once_are_read_and_described() {
    let steps = r#"
{ name = "page", get = "/", save = { id = "$.id" } },
{ parallel = [
  { name = "style", get = "/style.css", check = { status = 200 } },
  { name = "api", post = "/api/${id}", json = { n = 1 }, save = { token = "header:X-Token" }, if = "id" },
], connections = 2 },
{ repeat = 3, steps = [{ parallel = [{ name = "logo", get = "/${token}.svg" }] }] },
"#;
    let told = |target: &str| {
        let plan = read(target, steps, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plan.steps, ["page", "style", "api", "logo"]);
        assert_eq!((plan.slots, plan.phases[0].model.of()), (2, Of::Requests));
        let Step::Parallel(group) = &plan.sessions[0].steps[1] else { panic!("{:?}", plan.sessions) };
        assert_eq!((group.requests.len(), group.connections), (2, 2));
        assert_eq!(group.requests[1].saves[0].from, Capture::Header("X-Token".into()));
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<RunPlan>(&json).unwrap(), plan);
        describe(&plan)
    };
    let told = [
        told(PLAIN),
        told(&format!("{PLAIN}\nhttp = \"2\"")),
        told("url = \"https://shop.example\"\nhttp = \"auto\""),
    ];
    insta::assert_snapshot!(told.join("\n---\n"));
}

#[test]
fn secrets_of_requests_at_once_are_hidden() {
    let mut overrides = Overrides::default();
    overrides.vars.insert("KEY".into(), "hush".into());
    let steps = "{ parallel = [{ name = \"a\", post = \"/${KEY}\", headers = { X = \"${KEY}\" }, body = \"${KEY}\" }] },";
    let plan = read(&format!("{PLAIN}\nenv = [\"KEY\"]"), steps, &overrides).unwrap();
    assert!(serde_json::to_string(&plan).unwrap().contains("hush"), "workers need it");
    assert!(!serde_json::to_string(&plan.without_secrets()).unwrap().contains("hush"));
    assert!(!describe(&plan).contains("hush"));
}

#[test]
fn every_mistake_is_explained() {
    let group = |inner: &str| format!("{{ parallel = [{inner}] }},");
    let cases = [
        ("no version", format!("{PLAIN}\nhttp = \"3\""), ONE.to_owned()),
        ("a version in other words", format!("{PLAIN}\nhttp = \"h2\""), ONE.to_owned()),
        ("a number", format!("{PLAIN}\nhttp = 2"), ONE.to_owned()),
        ("a choice in plaintext", format!("{PLAIN}\nhttp = \"auto\""), ONE.to_owned()),
        ("the bundled backend", "url = \"bundled\"\nhttp = \"2\"".to_owned(), ONE.to_owned()),
        ("an empty group", PLAIN.to_owned(), group("")),
        ("no array", PLAIN.to_owned(), "{ parallel = { name = \"a\", get = \"/\" } },".to_owned()),
        ("something else in it", PLAIN.to_owned(), group("{ think = \"1s\" }")),
        (
            "a group in a group",
            PLAIN.to_owned(),
            group(&group("{ name = \"a\", get = \"/\" }").replace("},", "}")),
        ),
        ("no name", PLAIN.to_owned(), group("{ get = \"/\" }")),
        ("a misspelt verb", PLAIN.to_owned(), group("{ name = \"a\", gett = \"/\" }")),
        (
            "no connection",
            PLAIN.to_owned(),
            "{ parallel = [{ name = \"a\", get = \"/\" }], connections = 0 },".to_owned(),
        ),
        (
            "a misspelt key",
            PLAIN.to_owned(),
            "{ parallel = [{ name = \"a\", get = \"/\" }], conections = 2 },".to_owned(),
        ),
        ("too many requests", PLAIN.to_owned(), group(&"{ name = \"a\", get = \"/\" },".repeat(65))),
    ];
    let mut all = String::new();
    for (what, target, steps) in cases {
        let e = read(&target, &steps, &Overrides::default()).expect_err(what);
        assert!(e.mistakes.iter().all(|m| m.place.is_some()), "{what}: {e}");
        let _ = write!(all, "## {what}\n{e}\n\n");
    }
    for (what, target, http) in [
        ("--http in plaintext", PLAIN, "auto"),
        ("--http with the bundled backend", "url = \"bundled\"", "2"),
        ("--http with no version", PLAIN, "h2c"),
    ] {
        let overrides = Overrides { http: Some(http.to_owned()), ..Overrides::default() };
        let _ = write!(all, "## {what}\n{}\n\n", read(target, ONE, &overrides).expect_err(what));
    }
    let overrides = Overrides { target: Some("http://127.0.0.1:1".into()), ..Overrides::default() };
    let e = read("url = \"https://shop.example\"\nhttp = \"auto\"", ONE, &overrides).unwrap_err();
    let _ = write!(all, "## --target in plaintext\n{e}\n\n");
    let flag = Quick { url: "http://shop.example/".into(), http: Some("auto".into()), ..Quick::default() };
    let _ = write!(all, "## a quick run in plaintext\n{}\n", quick(&flag).unwrap_err());
    insta::assert_snapshot!(all);
}

#[test]
fn a_loop_of_requests_that_may_all_be_left_out_would_spin() {
    let steps = "{ name = \"a\", get = \"/\", save = { x = \"$.x\" } }, { repeat = 2, steps = [{ parallel = [{ name = \"b\", get = \"/b\", if = \"x\" }] }] },";
    assert!(read(PLAIN, steps, &Overrides::default()).unwrap_err().to_string().contains("spin"));
}
