//! Load models: every form of a phase is read, described, and its mistakes explained.

use std::fmt::Write as _;

use dynamometer_scenarios::plan::{Dist, Leg, Model, Of, Rules, Shape, Turns};
use dynamometer_scenarios::{Origin, Overrides, ScenarioError, describe, parse};

const S: u64 = 1_000_000_000;

fn read(phase: &str) -> Result<dynamometer_scenarios::plan::RunPlan, ScenarioError> {
    let text = format!(
        "[target]\nurl = \"http://127.0.0.1:1\"\n[[phase]]\nname = \"p\"\n{phase}\n[[session]]\nname = \"s\"\nsteps = [{{ name = \"look\", get = \"/\" }}]\n"
    );
    let origin = Origin { name: "load".to_owned(), file: None };
    parse(&text, &origin, &Overrides::default())
}

fn model(phase: &str) -> Model {
    read(phase).unwrap_or_else(|e| panic!("{e}")).phases.remove(0).model
}

fn flat(length: u64, n: f64) -> Leg {
    Leg { length_ns: length * S, from: n, to: n }
}

#[test]
fn forms_that_have_a_short_name_keep_it() {
    assert_eq!(model("for = \"9s\"\nsessions = 5"), Model::Sessions { from: 5.0, to: 5.0 });
    let ramp = "for = \"9s\"\nrequests = { from = \"1/s\", to = \"2/s\", random = false }";
    assert_eq!(model(ramp), Model::Requests { from: 1.0, to: 2.0 });
}

#[test]
fn steps_take_their_length_from_either_side() {
    let legs = vec![flat(30, 10.0), flat(30, 50.0), flat(30, 100.0)];
    let want = Model::Shaped(Box::new(Shape { of: Of::Arrivals, legs, rules: Rules::default() }));
    let levels = "steps = [\"10/s\", \"50/s\", \"100/s\"]";
    assert_eq!(model(&format!("arrivals = {{ {levels}, each = \"30s\" }}")), want);
    assert_eq!(model(&format!("for = \"90s\"\narrivals = {{ {levels} }}")), want);
    let both = format!("for = \"90s\"\narrivals = {{ {levels}, each = \"30s\" }}");
    assert_eq!(model(&both), want);
    // Three do not divide 10 s; no nanosecond is lost all the same.
    let thirds = model("for = \"10s\"\nsessions = { steps = [1, 2, 3] }");
    assert_eq!(thirds.legs(0).iter().map(|l| l.length_ns).sum::<u64>(), 10 * S);
}

#[test]
fn a_spike_stands_between_its_base() {
    let spike = model("for = \"60s\"\nsessions = { base = 10, spike = 500, at = \"20s\", for = \"5s\" }");
    assert_eq!(spike.legs(0), [flat(20, 10.0), flat(5, 500.0), flat(35, 10.0)]);
    assert_eq!((spike.of(), spike.peak(), spike.starts(60 * S)), (Of::Sessions, 500.0, 0.0));
    let at_once =
        model("for = \"5s\"\narrivals = { base = \"1/s\", spike = \"9/s\", at = \"0s\", for = \"5s\" }");
    assert_eq!(at_once.legs(5 * S), [flat(5, 9.0)]);
}

#[test]
fn rules_are_kept() {
    let rules = |phase: &str| model(&format!("for = \"9s\"\n{phase}")).rules();
    let none = Rules::default();
    for random in ["arrivals = { poisson = \"9/s\" }", "requests = \"9/s\"\nrandom = true"] {
        assert_eq!(rules(random), Rules { random: true, ..none });
    }
    assert!(rules("arrivals = { from = \"1/s\", to = \"9/s\", random = true }").random);
    let each = Rules { turns: Some(Turns::Each(10)), ..none };
    assert_eq!(rules("sessions = 50\niterations = 10"), each);
    let shared = Rules { turns: Some(Turns::Shared(10_000)), ..none };
    assert_eq!(rules("sessions = 50\nshared-iterations = 10000"), shared);
    let capped = Rules { max_sessions: Some(5000), ..none };
    assert_eq!(rules("arrivals = \"9/s\"\nmax-sessions = 5000"), capped);
    let churned = Rules { lifetime: Some(Dist::Exponential(600 * S)), ..none };
    assert_eq!(rules("sessions = 50\nchurn = \"10%/min\""), churned);
    assert_eq!(rules("sessions = 50\nlifetime = \"exp(10m)\""), churned);
    let down = Rules { ramp_down_ns: Some(30 * S), ..none };
    assert_eq!(rules("sessions = { from = 9, to = 0 }\nramp-down = \"30s\""), down);
}

#[test]
fn every_form_is_described() {
    let mut out = String::new();
    for phase in [
        "arrivals = { steps = [\"10/s\", \"50/s\"], each = \"30s\" }",
        "for = \"60s\"\narrivals = { base = \"10/s\", spike = \"500/s\", at = \"20s\", for = \"5s\" }",
        "for = \"60s\"\nrequests = { poisson = \"100/s\" }\nmax-sessions = 5000",
        "for = \"60s\"\nsessions = 50\niterations = 10",
        "for = \"60s\"\nsessions = 50\nshared-iterations = 10000",
        "for = \"60s\"\nsessions = { from = 50, to = 0 }\nramp-down = \"30s\"\nchurn = \"10%/min\"",
        "for = \"60s\"\nsessions = { steps = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }",
    ] {
        let plan = read(phase).unwrap_or_else(|e| panic!("{e}"));
        let all = describe(&plan);
        let lines = all.lines().skip_while(|l| *l != "phases").skip(1).take(1);
        lines.for_each(|l| writeln!(out, "{}", l.trim()).unwrap());
    }
    insta::assert_snapshot!(out);
}

#[test]
fn every_mistake_in_a_load_is_explained() {
    let mut out = String::new();
    for phase in [
        "arrivals = { steps = [\"10/s\"] }",
        "for = \"60s\"\narrivals = { steps = [\"10/s\", \"20/s\"], each = \"20s\" }",
        "for = \"60s\"\narrivals = { steps = [] }",
        "for = \"60s\"\narrivals = { steps = [10] }",
        "for = \"20s\"\nsessions = { base = 1, spike = 9, at = \"18s\", for = \"5s\" }",
        "for = \"20s\"\nsessions = { base = 1, spike = 9 }",
        "for = \"20s\"\nsessions = { poisson = \"1/s\" }",
        "for = \"20s\"\nsessions = 9\nrandom = true",
        "for = \"20s\"\nsessions = 9\nmax-sessions = 5",
        "for = \"20s\"\narrivals = \"9/s\"\niterations = 5",
        "for = \"20s\"\nsessions = 9\niterations = 0",
        "for = \"20s\"\nsessions = 9\niterations = 1\nshared-iterations = 1",
        "for = \"20s\"\nsessions = 9\nchurn = \"10\"",
        "for = \"20s\"\nsessions = 9\nlifetime = \"0s\"",
    ] {
        writeln!(out, "## {phase}\n{}", read(phase).expect_err(phase)).unwrap();
    }
    insta::assert_snapshot!(out);
}
