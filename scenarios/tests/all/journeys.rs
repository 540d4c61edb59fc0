//! Session kinds whose steps are code: what a person reads of them, and of mistakes in them.

use dynamometer_scenarios::{Origin, Overrides, ScenarioError, describe, parse};

fn read(session: &str, phase: &str) -> Result<String, ScenarioError> {
    let text = format!(
        "[target]\nurl = \"http://127.0.0.1:3000\"\n[[phase]]\nname = \"only\"\nfor = \"10s\"\n{phase}\n\
         [[session]]\nname = \"coded\"\n{session}\n"
    );
    parse(&text, &Origin { name: "test".to_owned(), file: None }, &Overrides::default())
        .map(|plan| describe(&plan))
}

#[test]
fn a_plan_tells_what_a_journey_does_and_what_is_timed() {
    insta::assert_snapshot!(read("journey = \"shop-checkout\"", "arrivals = \"5/s\"").unwrap());
}

#[test]
fn mistakes_are_named_where_they_are() {
    let wrong = [
        read("journey = \"shop-chekout\"", "sessions = 1"),
        read("journey = \"mine\"", "sessions = 1"),
        read("journey = 7", "sessions = 1"),
        read("journey = \"shop-live\"\nsteps = [{ name = \"home\", get = \"/\" }]", "sessions = 1"),
        read("journey = \"shop-browse\"", "requests = \"5/s\""),
        read(
            "journey = \"shop-browse\"\n[[session]]\nname = \"b\"\nsteps = [{ name = \"shop-browse list\", get = \"/\" }]",
            "sessions = 1",
        ),
    ];
    let said: Vec<String> = wrong.into_iter().map(|w| w.unwrap_err().to_string()).collect();
    insta::assert_snapshot!(said.join("\n\n"));
}

/// A scenario with this `[target]`.
fn target(target: &str, sessions: &str, overrides: &Overrides) -> Result<String, ScenarioError> {
    let text =
        format!("[target]\n{target}\n[[phase]]\nname = \"only\"\nfor = \"10s\"\nsessions = 1\n{sessions}");
    parse(&text, &Origin { name: "test".to_owned(), file: None }, overrides).map(|plan| describe(&plan))
}

const CODED: &str = "[[session]]\nname = \"coded\"\njourney = \"shop-browse\"\n";
const STEPS: &str = "[[session]]\nname = \"steps\"\nsteps = [{ name = \"home\", get = \"/\" }]\n";

#[test]
fn what_a_journey_cannot_do_is_refused_before_a_run() {
    let none = Overrides::default();
    let said = [
        target("url = \"https://shop.example\"", CODED, &none),
        target("url = \"http://127.0.0.1:3000\"\nhttp = \"2\"", CODED, &none),
        target("url = \"http://127.0.0.1:3000\"\ncookies = true", CODED, &none),
        target("url = \"http://127.0.0.1:3000\"\nauth = { bearer = \"x\" }", CODED, &none),
    ];
    let said = said.map(|wrong| wrong.unwrap_err().to_string());
    insta::assert_snapshot!(said.join("\n\n"), @r#"
    session kind `coded` is a journey, and journeys go to http:// targets only
      --> test (catalogue):2:1
      |
    2 | url = "https://shop.example"
      | ^^^
      = expected: an address that begins with http://, or `steps` instead of `journey`

    session kind `coded` is a journey, and journeys speak HTTP/1.1 alone
      --> test (catalogue):3:1
      |
    3 | http = "2"
      | ^^^^
      = expected: "1.1", or `steps` instead of `journey`

    all sessions are journeys, so `cookies` would have no effect
      --> test (catalogue):3:1
      |
    3 | cookies = true
      | ^^^^^^^
      = expected: a session of `steps`, or no `cookies`

    all sessions are journeys, so `auth` would have no effect
      --> test (catalogue):3:1
      |
    3 | auth = { bearer = "x" }
      | ^^^^
      = expected: a session of `steps`, or no `auth`
    "#);
    let https = Overrides { target: Some("https://shop.example".to_owned()), ..none.clone() };
    let framed = Overrides { http: Some("2".to_owned()), ..none };
    let said = [https, framed]
        .map(|flags| target("url = \"http://127.0.0.1:3000\"", CODED, &flags).unwrap_err().to_string());
    insta::assert_snapshot!(said.join("\n\n"), @r#"
    --target: session kind `coded` is a journey, and journeys go to http:// targets only
     = expected: an address that begins with http://, or `steps` instead of `journey`

    --http: session kind `coded` is a journey, and journeys speak HTTP/1.1 alone
     = expected: "1.1", or `steps` instead of `journey`
    "#);
}

#[test]
fn what_holds_for_steps_alone_may_stand_beside_a_journey() {
    let both = format!("{CODED}{STEPS}");
    let asked = "url = \"http://127.0.0.1:3000\"\ncookies = true\nauth = { bearer = \"x\" }";
    let told = target(asked, &both, &Overrides::default()).unwrap();
    assert!(told.contains("talks    sessions of steps keep cookies\n"), "{told}");
}
