//! Steps that hold steps: conditions, groups, loops that end, weighted choices.

use crate::common::{self, HEAD, described, good, mistakes, scenario, steps};
use dynamometer_scenarios::describe;
use dynamometer_scenarios::plan::{Guard, Step, Times};

const LOGIN: &str =
    r#"{ name = "log in", post = "/login", save = { token = "$.token", status = "status" } },"#;

const ALL: &str = r#"
  { name = "log in", post = "/login", save = { token = "$.token", status = "status" } },
  { group = "checkout", steps = [
    { name = "pay", post = "/pay", if = "token and not (status >= 400)" },
    { group = "after", if = "users.plan == 'gold'", steps = [{ name = "gift", get = "/gift" }], else = [{ think = "1s" }] },
  ] },
  { repeat = "until status == 200", at-most = 5, every = "1s", steps = [
    { name = "poll", get = "/poll", save = { status = "status" } },
  ] },
  { repeat = "while ${token} matches '^[a-z]+$'", steps = [{ think = "2s" }], if = "token contains 'x' or session < 9" },
  { choose = [
    { weight = 3, steps = [{ name = "read", get = "/read" }] },
    { steps = [] },
  ] },
  { think = "1s", if = "KEY" },
"#;

#[test]
fn steps_within_steps_are_described() {
    insta::assert_snapshot!(described(ALL));
}

/// What a plan of 100 sessions says of each step's rate: `name rate`, or the sentence in their place.
fn expected(steps: &str) -> Vec<String> {
    let text = scenario(HEAD, steps).replace("sessions = 1\n", "sessions = 100\n");
    let all = describe(&common::read(&text).unwrap_or_else(|e| panic!("{e}")));
    let lines = all.lines().skip_while(|l| !l.starts_with("  phase p")).take_while(|l| !l.is_empty());
    lines.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_loop_until_the_end_sets_the_pace_wherever_it_stands() {
    let poll = r#"{ repeat = "until-end", every = "10s", steps = [{ name = "poll", get = "/poll" }] }"#;
    let rare = r#"{ repeat = "until-end", every = "20s", steps = [{ name = "rare", get = "/rare" }] }"#;
    let alone = expected(&format!("{LOGIN}{poll}"));
    assert!(alone.len() == 2 && alone[1].starts_with("poll 10"), "{alone:?}");
    for inside in [
        format!("{{ if = \"token\", steps = [{poll}] }}"),
        format!("{{ repeat = 3, steps = [{{ think = \"1s\" }}, {poll}] }}"),
        format!("{{ choose = [{{ weight = 3, steps = [{poll}] }}, {{ steps = [{poll}] }}] }}"),
    ] {
        assert_eq!(expected(&format!("{LOGIN}{inside}")), alone, "{inside}");
    }
    let both = expected(&format!("{LOGIN}{{ choose = [{{ steps = [{poll}] }}, {{ steps = [{rare}] }}] }}"));
    assert!(both[1].starts_with("poll 5") && both[2].starts_with("rare 2.5"), "{both:?}");
    let some = expected(&format!("{LOGIN}{{ choose = [{{ steps = [{poll}] }}, {{ steps = [] }}] }}"));
    assert_eq!(some, ["phase p: some sessions stay and others end, so the rate of steps is not known"]);
}

#[test]
fn groups_put_their_names_in_front_and_leave_no_trace_in_the_plan() {
    let plan = good(ALL);
    assert_eq!(plan.steps, ["log in", "checkout / pay", "checkout / after / gift", "poll", "read"]);
    let kinds: Vec<_> = plan.sessions[0]
        .steps
        .iter()
        .map(|s| match s {
            Step::Request(_) => "request",
            Step::If(_) => "if",
            Step::Repeat(_) => "repeat",
            Step::Choose(_) => "choose",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["request", "request", "if", "repeat", "if", "choose", "if"]);
    let shown = serde_json::to_string(&plan.without_secrets()).unwrap();
    assert!(serde_json::to_string(&plan).unwrap().contains("hush") && !shown.contains("hush"));
}

#[test]
fn loops_with_a_condition_have_a_bound() {
    let all =
        steps(&format!("{LOGIN}{{ repeat = \"while status == 202\", steps = [{{ think = \"1s\" }}] }}"));
    let Step::Repeat(r) = &all[1] else { panic!("{all:?}") };
    assert_eq!(r.times, Times::Count(100));
    assert!(matches!(&r.guard, Some(Guard::While(c)) if c.text == "status == 202"));
}

#[test]
fn mistakes_in_them_are_explained() {
    let cases = [
        ("unknown variable", r#"{ think = "1s", if = "tokn" }"#),
        ("a text without quotes", r#"{ think = "1s", if = "token == gold" }"#),
        ("a single equals sign", r#"{ think = "1s", if = "status = 200" }"#),
        ("signs of other languages", r#"{ think = "1s", if = "!token && status" }"#),
        ("nothing", r#"{ think = "1s", if = " " }"#),
        ("no number", r#"{ think = "1s", if = "status < 5s" }"#),
        ("half a comparison", r#"{ think = "1s", if = "status <" }"#),
        ("always the same", r#"{ think = "1s", if = "'token'" }"#),
        ("two comparisons", r#"{ think = "1s", if = "1 < status < 3" }"#),
        ("an open bracket", r#"{ think = "1s", if = "(token and status" }"#),
        ("a text without end", r#"{ think = "1s", if = "token == 'x" }"#),
        ("not a pattern", r#"{ think = "1s", if = "token matches '('" }"#),
        ("a pattern without quotes", r#"{ think = "1s", if = "token matches status" }"#),
        ("a function", r#"{ think = "1s", if = "uuid() == 1" }"#),
        ("not a text", r#"{ think = "1s", if = true }"#),
        ("else alone", r#"{ steps = [], else = [] }"#),
        ("a group for nothing", r#"{ steps = [{ think = "1s" }] }"#),
        ("a misspelt group", r#"{ gruop = "x", steps = [{ think = "1s" }] }"#),
        ("a loop misspelt", r#"{ repeat = "whle token", steps = [{ think = "1s" }] }"#),
        ("a wrong loop", r#"{ repeat = "until tokn", steps = [{ think = "1s" }] }"#),
        ("a bound for nothing", r#"{ repeat = 3, at-most = 5, steps = [{ think = "1s" }] }"#),
        ("no bound at all", r#"{ repeat = "while token", at-most = 0, steps = [{ think = "1s" }] }"#),
        (
            "a loop that spins",
            r#"{ repeat = "while token", steps = [{ choose = [{ steps = [] }, { steps = [{ think = "1s" }] }] }] }"#,
        ),
        ("no choice", "{ choose = [] }"),
        ("a choice without steps", r#"{ choose = [{ weight = 2 }] }"#),
        ("a choice without weight", r#"{ choose = [{ weight = 0, steps = [] }] }"#),
        ("unknown key of a choice", r#"{ choose = [{ wieght = 1, steps = [] }] }"#),
        (
            "one name for two things",
            r#"{ group = "a", steps = [{ name = "x", get = "/" }] }, { name = "a / x", post = "/" }"#,
        ),
    ];
    insta::assert_snapshot!(mistakes(
        cases.map(|(what, step)| (what, scenario(HEAD, &format!("{LOGIN}\n{step}"))))
    ));
}

#[test]
fn deep_nesting_is_refused() {
    let mut inner = "{ think = \"1s\" }".to_owned();
    for _ in 0..12 {
        inner = format!("{{ choose = [{{ steps = [{inner}] }}] }}");
    }
    let e = common::read(&scenario(HEAD, &inner)).unwrap_err().to_string();
    assert!(e.contains("steps are nested too deeply"), "{e}");
}
