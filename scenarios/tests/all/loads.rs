//! Load models: every form of a phase is read, described, and its mistakes explained.

use std::fmt::Write as _;

use dynamometer_scenarios::plan::{Dist, Leg, Model, Of, Rules, Shape, Step, Timer, Turns};
use dynamometer_scenarios::{
    LoadFlags, Origin, Overrides, Quick, ScenarioError, describe, load, parse, quick,
};

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
fn what_would_have_no_effect_is_refused() {
    let ramp = "arrivals = { from = \"1/s\", to = \"9/s\", random = true }";
    for phase in ["requests = { poisson = \"9/s\" }", ramp] {
        let told = read(&format!("for = \"9s\"\n{phase}\nrandom = false")).expect_err(phase).to_string();
        assert!(told.contains("are random already"), "{told}");
    }
    let most = read("for = \"9s\"\nsessions = 1048576").unwrap_err().to_string();
    assert!(most.contains("a whole number from 0 to 1048575"), "{most}");
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

/// The examples of LOAD-MODELS.md are read, one by one.
#[test]
fn the_documented_examples_are_right() {
    let text = include_str!("../../LOAD-MODELS.md");
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let phases: Vec<&str> = blocks.iter().flat_map(|b| b.split("[[phase]]\n").skip(1)).collect();
    assert_eq!(phases.len(), 10);
    for phase in &phases {
        let (_, rest) = phase.split_once('\n').unwrap();
        read(rest).unwrap_or_else(|e| panic!("{phase}\n{e}"));
    }
    // The table of executors: its phases, then its command lines.
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|l| l.starts_with("| `"))
        .map(|l| l.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let spans: Vec<&str> = row[2].split('`').skip(1).step_by(2).filter(|s| s.contains('=')).collect();
        read(&format!("for = \"1m\"\n{}", spans.join("\n"))).unwrap_or_else(|e| panic!("{spans:?}\n{e}"));
        let line = row[3].trim_matches('`');
        if !line.is_empty() {
            asked(line).unwrap_or_else(|e| panic!("{line}\n{e}"));
        }
    }
}

/// A quick run as its command line asks for it.
fn asked(line: &str) -> Result<dynamometer_scenarios::plan::RunPlan, ScenarioError> {
    let mut load = LoadFlags::default();
    let words: Vec<&str> = line.split_whitespace().collect();
    for pair in words.chunks(2) {
        match pair[0] {
            "--vus" | "--sessions" | "-u" => load.sessions = Some(pair[1].parse().expect("a number")),
            "--duration" | "--for" | "-d" => load.for_ = Some(pair[1].to_owned()),
            "--rate" => load.rate = Some(pair[1].to_owned()),
            "--stage" | "-s" => load.stages.push(pair[1].to_owned()),
            "--iterations" | "-i" => load.iterations = Some(pair[1].parse().expect("a number")),
            other => panic!("{other} is no flag"),
        }
    }
    quick(&Quick { url: "http://127.0.0.1:1/a".to_owned(), load, ..Quick::default() })
}

#[test]
fn flags_become_a_phase() {
    let phase = |line: &str| asked(line).unwrap_or_else(|e| panic!("{line}\n{e}")).phases.remove(0);
    let model = |line: &str| phase(line).model;
    assert_eq!(model(""), Model::Sessions { from: 50.0, to: 50.0 });
    assert_eq!(phase("-u 9 -d 10s").length_ns, 10 * S);
    assert_eq!(model("--rate 100/s"), Model::Requests { from: 100.0, to: 100.0 });
    let capped = model("--rate 100/s --vus 500");
    assert_eq!((capped.of(), capped.rules().max_sessions), (Of::Requests, Some(500)));
    let shared = phase("-i 10000 -u 50");
    assert_eq!((shared.length_ns, shared.model.rules().turns), (600 * S, Some(Turns::Shared(10_000))));
    let leg = |s, from, to| Leg { length_ns: s * S, from, to };
    let stages = model("--stage 30s:1000 --stage 0s:500,10s:0");
    assert_eq!(
        (stages.of(), stages.legs(0)),
        (Of::Sessions, vec![leg(30, 0.0, 1000.0), leg(10, 500.0, 0.0)])
    );
    let rates = model("--rate 10/s --stage 30s:100/s --stage 1m:100/s");
    assert_eq!(
        (rates.of(), rates.legs(0)),
        (Of::Requests, vec![leg(30, 10.0, 100.0), leg(60, 100.0, 100.0)])
    );
}

#[test]
fn mistakes_in_flags_are_explained() {
    let mut out = String::new();
    for line in [
        "-u 0",
        "-d 0s",
        "--rate 10",
        "--rate 0/s",
        "-i 5 --rate 1/s",
        "-s 10s",
        "-s 10s:ten",
        "-s 10s:5 -d 10s",
        "-s 10s:5 -s 10s:5/s",
        "--rate 1/s -s 10s:5",
        "-s 10s:0",
    ] {
        writeln!(out, "## {line}\n{}", asked(line).expect_err(line)).unwrap();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn a_quick_run_can_send_anything() {
    let ask = |method: Option<&str>, body: &str, headers: &[&str]| {
        quick(&Quick {
            url: "http://127.0.0.1:1/a".to_owned(),
            method: method.map(str::to_owned),
            body: (!body.is_empty()).then(|| body.to_owned()),
            headers: headers.iter().map(|h| (*h).to_owned()).collect(),
            load: LoadFlags { iterations: Some(1), ..LoadFlags::default() },
            ..Quick::default()
        })
    };
    let plan = ask(None, "{\"id\":\"${uuid()}\"}", &["A: b", "authorization: Bearer ${int(1, 9)}"]).unwrap();
    let [Step::Request(r)] = plan.sessions[0].steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((r.method.as_str(), r.headers.len(), r.headers[0].0.as_str()), ("POST", 2, "A"));
    assert_eq!(r.body.as_ref().unwrap().0, "application/json");
    assert!(format!("{:?}", r.body).contains("Escaped(Json, Uuid)"), "{:?}", r.body);
    let plan = ask(Some("put"), "a,b", &["Content-Type: text/csv"]).unwrap();
    let [Step::Request(r)] = plan.sessions[0].steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((r.method.as_str(), r.body.as_ref().unwrap().0.as_str()), ("PUT", "text/csv"));
    // As curl has it, `@` names a file; what it holds is a body like any other.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.json");
    std::fs::write(&file, "{\"id\":\"${uuid()}\"}").unwrap();
    let named = |file: &std::path::Path| format!("@{}", file.display());
    let of_file = ask(None, &named(&file), &[]).unwrap();
    let typed = ask(None, "{\"id\":\"${uuid()}\"}", &[]).unwrap();
    assert_eq!(of_file, typed);
    for (body, says) in [
        (named(&folder.path().join("nobody")), "nobody cannot be read: there is no such file"),
        (named(folder.path()), "is a folder"),
        ("@".to_owned(), "`@` names no file"),
    ] {
        let told = ask(None, &body, &[]).unwrap_err().to_string();
        assert!(told.starts_with("--body: ") && told.contains(says), "{told}");
    }
    let wrong: [(Option<&str>, &str, &[&str]); 8] = [
        (Some("FETCH"), "", &[]),
        (Some("GET"), "x", &[]),
        (None, "", &["no colon"]),
        (None, "", &["Host: other"]),
        (None, "", &["Upgrade: x"]),
        (None, "", &["A: b\nC: d"]),
        (None, "", &["A B: c"]),
        (None, "${nothing}", &[]),
    ];
    let mut out = String::new();
    for (method, body, headers) in wrong {
        writeln!(out, "{}", ask(method, body, headers).expect_err("wrong")).unwrap();
    }
    insta::assert_snapshot!(out);
}

#[test]
fn flags_replace_the_phases_of_a_scenario() {
    let mut plan = read("for = \"60s\"\nsessions = 3").unwrap();
    let before = plan.clone();
    plan.replace_load(&LoadFlags::default()).unwrap();
    assert_eq!(plan, before);
    let flags = LoadFlags { rate: Some("7/s".to_owned()), ..LoadFlags::default() };
    plan.replace_load(&flags).unwrap();
    assert_eq!(plan.phases[0].model, Model::Arrivals { from: 7.0, to: 7.0 });
    assert_eq!((plan.phases.len(), plan.phases[0].length_ns), (1, 30 * S));
    let mut shop = load("flash-sale", &Overrides::default()).unwrap();
    let short = LoadFlags { for_: Some("2s".to_owned()), ..LoadFlags::default() };
    let told = shop.replace_load(&short).unwrap_err().to_string();
    assert!(told.contains("flash-sale: the fault at 20s would come after the load's end"), "{told}");
}

#[test]
fn a_length_alone_leaves_a_scenario_its_load() {
    let long = LoadFlags { for_: Some("8h".to_owned()), ..LoadFlags::default() };
    let mut soak = load("soak", &Overrides::default()).unwrap();
    let before = soak.phases.clone();
    soak.replace_load(&long).unwrap();
    assert_eq!((soak.phases.len(), &soak.phases[0]), (2, &before[0]), "the warm-up stays");
    assert_eq!(soak.phases[1].model, Model::Sessions { from: 200.0, to: 200.0 });
    assert_eq!((soak.phases[1].name.as_str(), soak.phases[1].length_ns), ("soak", 8 * 3600 * S));
    // Rules stay, and the legs last as long as the phase.
    let mut random = read("for = \"9s\"\narrivals = { poisson = \"5/s\" }").unwrap();
    random.replace_load(&long).unwrap();
    assert!(random.phases[0].model.rules().random);
    assert_eq!(random.phases[0].model.legs(0), [flat(8 * 3600, 5.0)]);
    // Another word on the load, and all of it is replaced; a load that changes cannot be stretched.
    let mut soak = load("soak", &Overrides::default()).unwrap();
    soak.replace_load(&LoadFlags { sessions: Some(7), ..long.clone() }).unwrap();
    assert_eq!((soak.phases.len(), soak.phases[0].model.peak()), (1, 7.0));
    let mut ramp = read("for = \"9s\"\nsessions = { from = 1, to = 5 }").unwrap();
    let why = ramp.replace_load(&long).unwrap_err().to_string();
    assert!(why.contains("--for") && why.contains("`--sessions` or `--rate` beside it"), "{why}");
}

#[test]
fn a_precise_timer_is_asked_for_by_name() {
    let with = |timer: &str| {
        let text = format!(
            "load = {{ timer = \"{timer}\" }}\ntarget = {{ url = \"bundled\" }}\nphase = [{{ name = \"p\", for = \"1s\", sessions = 1 }}]\nsession = [{{ name = \"s\", steps = [{{ name = \"look\", get = \"/\" }}] }}]"
        );
        parse(&text, &Origin { name: "load".to_owned(), file: None }, &Overrides::default())
    };
    let plan = with("precise").unwrap();
    assert!(plan.timer == Timer::Precise && describe(&plan).contains("timer    precise"));
    assert!(with("wheel").unwrap().timer == Timer::Wheel);
    assert!(with("precis").unwrap_err().to_string().contains("did you mean `precise`?"));
}
