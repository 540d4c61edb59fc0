//! Files that a scenario includes: what they say comes first, what is wrong in them is shown in them.

use crate::common::{mistakes, read, scenario};
use dynamometer_scenarios::plan::{Model, Target};
use dynamometer_scenarios::{Origin, Overrides, parse};

const STEP: &str = r#"{ name = "person", get = "/${people.name}/${people.tags}/${vars.home}" }"#;

#[test]
fn a_file_wins_over_what_it_includes() {
    let head = "include = [\"shared/common.toml\", \"shared/deep/vars.toml\"]\n# \"KEY\"\n[vars]\nhome = \"own\"\n[target]\nredirects = 5\n";
    let text = scenario(head, STEP).replace("sessions = 1", "sessions = \"${vars.users}\"");
    let plan = read(&text).unwrap_or_else(|e| panic!("{e}"));
    assert!(plan.transport.cookies && plan.transport.compression);
    assert_eq!(plan.transport.redirects, 5);
    assert!(matches!(&plan.target, Target::Url(url) if url.port == 1));
    assert_eq!(plan.sessions.iter().map(|k| k.name.as_str()).collect::<Vec<_>>(), ["visitor", "s"]);
    assert_eq!(plan.gates.len(), 1);
    assert_eq!(plan.phases[0].model, Model::Sessions { from: 7.0, to: 7.0 });
    assert_eq!(plan.feeders[0].columns, ["name", "tags"]);
    assert_eq!(plan.feeders[0].rows, [["ann", "[\"a\",{\"b\":1}]"], ["bob", ""]]);
    assert!(format!("{:?}", plan.sessions[0].steps[0]).contains("/own"));
}

#[test]
fn values_from_outside_reach_through_includes() {
    let folder = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/shop.toml"));
    let origin = Origin { name: "shop".into(), file: Some(folder) };
    let vars = [("KEY".to_owned(), "hush".to_owned()), ("users".to_owned(), "9".to_owned())].into();
    let overrides = Overrides { vars, ..Overrides::default() };
    let text = scenario(
        "include = [\"shared/common.toml\"]",
        r#"{ name = "x", get = "/", headers = { k = "${KEY}" } }"#,
    );
    let plan =
        parse(&text.replace("sessions = 1", "sessions = \"${vars.users}\""), &origin, &overrides).unwrap();
    assert_eq!(plan.phases[0].model, Model::Sessions { from: 9.0, to: 9.0 });
}

#[test]
fn mistakes_point_into_the_file_that_holds_them() {
    let head = |files: &str| format!("include = [{files}]\n[target]\nurl = \"bundled\"");
    let of = |files: &str| scenario(&head(files), "{ think = \"1s\" }");
    let cases = [
        ("no such file", of("\"shared/nobody.toml\"")),
        ("not TOML", of("\"shared/no.toml\"")),
        ("what an included file cannot say, and what it says wrongly", of("\"shared/broken.toml\"")),
        ("wrong shapes", of("\"shared/shapes.toml\"")),
        ("a circle", of("\"shared/circle.toml\"")),
        ("no path", of("7")),
        ("two kinds of one name", of("\"shared/common.toml\"").replace("name = \"s\"", "name = \"visitor\"")),
        (
            "a mistake of its own beside an included one",
            of("\"shared/broken.toml\"").replace("think", "thnk"),
        ),
    ];
    let told = mistakes(cases);
    insta::assert_snapshot!(told);
}

#[test]
fn a_shipped_scenario_has_no_folder_to_include_from() {
    let origin = Origin { name: "x".into(), file: None };
    let text = scenario("include = [\"a.toml\"]\n[target]\nurl = \"bundled\"", "{ think = \"1s\" }");
    let e = parse(&text, &origin, &Overrides::default()).unwrap_err().to_string();
    assert!(e.contains("no folder to look in"), "{e}");
}
