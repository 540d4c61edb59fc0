//! The figures of a run as it stands now, from its newest snapshot.

use timeline::Status;
use timeline::snapshot::{Percentiles, Snapshot};

use super::{Figures, NS_PER_S, names};
use crate::discreet;

/// A lane that is older than this says nothing of now.
const STALE_NS: u64 = 5_000_000_000;

/// All of them; findings and lanes without statements and addresses, since they leave the machine.
#[must_use]
pub fn of_snapshot(s: &Snapshot) -> Figures {
    let mut all = Figures::of(&s.run.scenario, &s.run.run_id);
    run(&mut all, s);
    steps(&mut all, s);
    findings(&mut all, s);
    lanes(&mut all, s);
    all
}

fn run(all: &mut Figures, s: &Snapshot) {
    all.family(names::RUN, "Time since the run's start").set(&[], s.at.as_secs_f64());
    let mut gates =
        all.family(names::GATE_HOLDS, "1 if the gate holds, 0 if it fails; undecided gates are left out");
    for g in &s.gates {
        if let Some(holds) = g.holds {
            gates.set(&[("gate", &g.that)], f64::from(u8::from(holds)));
        }
    }
    let mut errors = all.family(names::ERRORS, "Failed steps by kind of error");
    s.errors.iter().for_each(|(kind, n)| errors.set(&[("kind", kind)], *n as f64));
    let mut starts = all.family(names::STARTS, "Starts of sessions by what became of them");
    for (what, n) in [("late", s.load.late), ("dropped", s.load.dropped)] {
        starts.set(&[("what", what)], n as f64);
    }
    let mut load = all.family(names::LOAD, "The load over the last second: planned, started and finished");
    let rates = [("offered", s.load.offered), ("achieved", s.load.achieved), ("completed", s.load.completed)];
    rates.iter().for_each(|(what, rate)| load.set(&[("what", what)], *rate));
    let mut open = all.family(names::OPEN, "Sessions and connections open now");
    let levels = [("sessions", s.load.open_sessions), ("connections", s.load.open_connections)];
    levels.iter().for_each(|(what, n)| open.set(&[("what", what)], *n as f64));
}

fn steps(all: &mut Figures, s: &Snapshot) {
    let mut count = all.family(names::STEPS, "Finished steps, failures among them, warm-up left out");
    s.steps
        .iter()
        .for_each(|st| count.set(&[("step", &st.name)], st.response.count as f64 + st.untimed as f64));
    let untimed: f64 = s.steps.iter().map(|st| st.untimed as f64).sum();
    count.set(&[("step", "")], s.response.count as f64 + untimed);
    let mut failed = all.family(names::STEP_ERRORS, "Failed steps, warm-up left out");
    s.steps.iter().for_each(|st| failed.set(&[("step", &st.name)], st.errors as f64));
    failed.set(&[("step", "")], s.steps.iter().map(|st| st.errors).sum::<u64>() as f64);
    let mut response = all.family(names::RESPONSE, "Finished - intended, by quantile");
    s.steps.iter().for_each(|st| response.quantiles(&st.name, quantiles(&st.response)));
    response.quantiles("", quantiles(&s.response));
    let mut service = all.family(names::SERVICE, "Finished - started, by quantile");
    s.steps.iter().for_each(|st| service.quantiles(&st.name, quantiles(&st.service)));
    service.quantiles("", quantiles(&s.service));
    let mut recent = all.family(names::RECENT, "Finished - intended over the last five seconds, by quantile");
    recent.quantiles("", quantiles(&s.recent));
}

/// None without samples: no data is not zero.
fn quantiles(p: &Percentiles) -> [(&'static str, Option<f64>); 5] {
    let some = |v| (p.count > 0).then_some(v);
    [
        ("0.5", some(p.p50)),
        ("0.9", some(p.p90)),
        ("0.99", some(p.p99)),
        ("0.999", some(p.p999)),
        ("1", some(p.max)),
    ]
}

fn findings(all: &mut Figures, s: &Snapshot) {
    let mut family = all.family(names::FINDING, "When each finding began, from the run's start");
    for f in s.findings.iter().filter(|f| f.status >= Status::Possible) {
        let labels = [
            ("id", f.id.as_str()),
            ("kind", f.kind.name()),
            ("subject", &discreet::subject(f)),
            ("severity", f.severity.name()),
            ("status", f.status.name()),
        ];
        family.set(&labels, f.onset.0 as f64 / NS_PER_S);
    }
}

fn lanes(all: &mut Figures, s: &Snapshot) {
    let mut family = all.family(names::LANE, "Lanes in their own unit, all instances together");
    for lane in s.lanes.iter().filter(|l| l.age_ns <= STALE_NS) {
        if let Some(last) = lane.last {
            let name = discreet::lane(&lane.name);
            family.set(&[("lane", &name), ("unit", lane.unit.name()), ("figure", "last")], last);
        }
    }
}

#[cfg(test)]
mod tests {
    use timeline::cells::Cells;
    use timeline::snapshot::LaneView;
    use timeline::{Quality, Shape, Unit};

    use super::*;

    #[test]
    fn no_lane_s_name_tells_an_address() {
        let lane = |name: &str| LaneView {
            name: name.to_owned(),
            unit: Unit::Ns,
            shape: Shape::Histogram,
            quality: Quality::Exact,
            cells: Cells::default(),
            last: Some(2e6),
            age_ns: 0,
        };
        let told =
            ["downstream.10.0.0.7-8080-users.time", "downstream.10.0.0.8-8080-users.time", "pool.db.wait"];
        let figures = of_snapshot(&Snapshot { lanes: told.map(lane).into(), ..Snapshot::default() });
        let family = figures.families.iter().find(|f| f.name == "dyno_lane").unwrap();
        let labels = family.points.iter().flat_map(|(labels, _)| labels);
        let lanes: Vec<&str> = labels.filter(|(k, _)| k == "lane").map(|(_, v)| v.as_str()).collect();
        assert_eq!((lanes.len(), lanes[2]), (3, "pool.db.wait"), "{lanes:?}");
        for service in &lanes[..2] {
            assert!(service.starts_with("downstream.service-") && service.ends_with(".time"), "{service}");
        }
    }
}
