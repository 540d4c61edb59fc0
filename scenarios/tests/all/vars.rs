//! `[vars]` and `-e`: values go everywhere, keep their type, and mistakes in them are explained.

use dynamometer_scenarios::plan::{Model, Part, RunPlan, Step};
use dynamometer_scenarios::{Origin, Overrides, ScenarioError, parse};

const TEXT: &str = r#"
[vars]
users = 500
length = "30s"
host = "127.0.0.1"
page = 7
[target]
url = "http://${vars.host}:1"
[[phase]]
name = "p"
for = "${vars.length}"
sessions = "${vars.users}"
[[session]]
name = "s"
steps = [{ name = "look", get = "/rooms/${vars.page}?u=${session}" }]
[[gate]]
that = "p99 < ${vars.length}"
"#;

fn read(text: &str, said: &[(&str, &str)]) -> Result<RunPlan, ScenarioError> {
    let vars = said.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let origin = Origin { name: "vars".to_owned(), file: None };
    parse(text, &origin, &Overrides { vars, ..Overrides::default() })
}

fn wrong(text: &str, said: &[(&str, &str)]) -> String {
    read(text, said).expect_err("it is wrong").to_string()
}

#[test]
fn defaults_and_what_is_said_instead() {
    let plan = read(TEXT, &[]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan.phases[0].model, Model::Sessions { from: 500.0, to: 500.0 });
    assert_eq!((plan.length_ns(), plan.gates[0].that.as_str()), (30_000_000_000, "p99 < 30s"));
    let plan =
        read(TEXT, &[("users", "20"), ("length", "2m"), ("page", "8")]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan.phases[0].model, Model::Sessions { from: 20.0, to: 20.0 });
    assert_eq!(plan.length_ns(), 120_000_000_000);
    let Step::Request(r) = &plan.sessions[0].steps[0] else { panic!("a request") };
    assert_eq!(r.path.0, [Part::Text("/rooms/8?u=".to_owned()), Part::Session]);
}

#[test]
fn numbers_keep_their_value_and_what_is_doubled_is_left_to_templates() {
    let text = TEXT.replace("page = 7", "page = 0x10").replace("?u=", "?v=$${vars.page}&u=");
    let plan = read(&text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let Step::Request(r) = &plan.sessions[0].steps[0] else { panic!("a request") };
    assert_eq!(r.path.0, [Part::Text("/rooms/16?v=${vars.page}&u=".to_owned()), Part::Session]);
    let rows = "[data.big]\nrows = [{ n = 9007199254740993, x = 2.50, h = 0x10 }]\n[[phase]]";
    let plan = read(&TEXT.replace("[[phase]]", rows), &[]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan.feeders[0].rows, [["9007199254740993", "2.50", "16"]]);
}

#[test]
fn mistakes_are_explained() {
    insta::assert_snapshot!(wrong(TEXT, &[("users", "many")]));
    insta::assert_snapshot!(wrong(TEXT, &[("user", "5")]));
    insta::assert_snapshot!(wrong(&TEXT.replace("${vars.page}", "${vars.pag}"), &[]));
    insta::assert_snapshot!(wrong(&TEXT.replace("page = 7", "page = [7]"), &[]));
    insta::assert_snapshot!(wrong(&TEXT.replace("${vars.length}", "${vars.host}"), &[]));
}
