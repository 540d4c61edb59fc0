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
