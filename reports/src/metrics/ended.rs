//! The figures of a summary.

use timeline::lane::status_error;

use super::{Figures, names};
use crate::summary::{Step, Summary, Times, Verdict};

/// All of them.
#[must_use]
pub fn of_summary(s: &Summary) -> Figures {
    let mut all = Figures::of(&s.scenario.name, &s.end.run_id);
    run(&mut all, s);
    steps(&mut all, s);
    findings(&mut all, s);
    lanes(&mut all, s);
    all
}

fn run(all: &mut Figures, s: &Summary) {
    let mut verdict = all.family(names::VERDICT, "1 for the verdict of the run, 0 for the others");
    for v in [Verdict::Pass, Verdict::Fail, Verdict::Invalid] {
        verdict.set(&[("verdict", v.name())], f64::from(u8::from(v == s.verdict)));
    }
    let mut gates =
        all.family(names::GATE_HOLDS, "1 if the gate holds, 0 if it fails; undecided gates are left out");
    for g in &s.gates {
        if let Some(holds) = g.holds {
            gates.set(&[("gate", &g.that)], f64::from(u8::from(holds)));
        }
    }
    let mut errors = all.family(names::ERRORS, "Failed steps by kind of error, warm-up left out");
    for e in &s.errors {
        for status in &e.statuses {
            errors.set(&[("kind", &status_error(status.status))], status.count as f64);
        }
        if e.others() > 0 {
            errors.set(&[("kind", &e.kind)], e.others() as f64);
        }
    }
    let mut starts = all.family(names::STARTS, "Starts of sessions by what became of them");
    let g = &s.generator;
    for (what, n) in
        [("offered", g.offered), ("achieved", g.achieved), ("late", g.late), ("dropped", g.dropped)]
    {
        starts.set(&[("what", what)], n as f64);
    }
}

fn steps(all: &mut Figures, s: &Summary) {
    let every: Vec<(&str, &Step)> =
        s.steps.iter().map(|st| (st.name.as_str(), st)).chain([("", &s.total)]).collect();
    let mut count = all.family(names::STEPS, "Finished steps, failures among them, warm-up left out");
    every.iter().for_each(|(name, step)| count.set(&[("step", name)], step.count as f64));
    let mut failed = all.family(names::STEP_ERRORS, "Failed steps, warm-up left out");
    every.iter().for_each(|(name, step)| failed.set(&[("step", name)], step.errors as f64));
    let mut response = all.family(names::RESPONSE, "Finished - intended, by quantile");
    every.iter().for_each(|(name, step)| response.quantiles(name, quantiles(&step.response)));
    let mut service = all.family(names::SERVICE, "Finished - started, by quantile");
    every.iter().for_each(|(name, step)| service.quantiles(name, quantiles(&step.service)));
}

fn quantiles(t: &Times) -> [(&'static str, Option<f64>); 6] {
    [("0.5", t.p50), ("0.9", t.p90), ("0.95", t.p95), ("0.99", t.p99), ("0.999", t.p999), ("1", t.max)]
}

fn findings(all: &mut Figures, s: &Summary) {
    let mut family = all.family(names::FINDING, "When each finding began, from the run's start");
    for f in &s.findings {
        let labels = [
            ("id", f.finding.id.as_str()),
            ("kind", f.finding.kind.name()),
            ("subject", &f.finding.subject),
            ("severity", f.finding.severity.name()),
            ("status", f.finding.status.name()),
        ];
        family.set(&labels, f.onset_s);
    }
}

fn lanes(all: &mut Figures, s: &Summary) {
    let mut family = all.family(names::LANE, "Lanes over the run in their own unit, all instances together");
    for (name, lane) in &s.lanes {
        for (figure, value) in
            [("min", lane.min), ("median", lane.median), ("p99", lane.p99), ("max", lane.max)]
        {
            family.set(&[("lane", name), ("unit", lane.unit.name()), ("figure", figure)], value);
        }
    }
}
