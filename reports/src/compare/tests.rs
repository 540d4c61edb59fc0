use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::fixture;
use timeline::{Entry, RunTime};

/// Each run has a start of its own, as no two runs have one and the same.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A run of the fixture with response times `factor` times as long.
fn run(id: usize, factor: f64) -> Sample {
    cut(id, factor, RunTime(u64::MAX))
}

/// The first part of such a run.
fn cut(id: usize, factor: f64, until: RunTime) -> Sample {
    let run = fixture::flash_sale();
    let mut timeline = Timeline::new();
    timeline.apply(&Entry::Plan(run.timeline.plan().clone()));
    for (lane, series) in run.timeline.series().iter().enumerate() {
        let lane = timeline::LaneId(lane as u32);
        timeline.apply(&Entry::Lane(lane, series.spec.clone()));
        let slower = |us: u32| (f64::from(us) * factor).round() as u32;
        for (span, cells) in series.intervals.iter().filter(|(span, _)| span.end <= until) {
            let cells = cells.cells.iter().map(|&(us, n)| (slower(us), n)).collect();
            let cells = timeline::histogram::Sparse { cells };
            timeline.apply(&Entry::Histogram { lane, span: *span, cells });
        }
        for &(at, value) in series.points.iter().filter(|(at, _)| *at <= until) {
            timeline.apply(&Entry::Sample { lane, at, value });
        }
    }
    let started_unix_ms = STARTED.fetch_add(1, Ordering::Relaxed);
    let meta = RunMeta { run_id: format!("run-{id}"), started_unix_ms, ..run.meta.clone() };
    let summary = Summary::new(&meta, &timeline, &[], run.end.as_ref());
    Sample::new(&summary, &meta, &timeline, &run.findings)
}

fn runs(factors: &[f64]) -> Vec<Sample> {
    factors.iter().enumerate().map(|(i, f)| run(i, *f)).collect()
}

const BASE: [f64; 5] = [1.0, 1.02, 0.99, 1.01, 0.98];

#[test]
fn a_slower_build_is_worse_and_says_where() {
    let slow: Vec<f64> = BASE.iter().map(|f| f * 1.15).collect();
    let c = compare(&runs(&BASE), &runs(&slow), &[]).unwrap();
    assert_eq!(c.verdict, Verdict::Worse, "{c:#?}");
    let p50 = c.rows.iter().find(|r| r.headline && r.figure == "response p50").unwrap();
    let change = p50.change.unwrap();
    assert!(change.low < 0.15 && 0.15 < change.high && change.low > 0.0, "{change:?}");
    assert_eq!(compare(&runs(&slow), &runs(&BASE), &[]).unwrap().verdict, Verdict::Better);
    insta::assert_snapshot!("worse", words(&c, false));
    insta::assert_snapshot!("worse_markdown", markdown(&c));
}

#[test]
fn a_run_is_the_same_as_its_like() {
    let c = compare(&runs(&BASE[..1]), &runs(&BASE[1..2]), &[]).unwrap();
    let of = |figure: &str| c.rows.iter().find(|r| r.headline && r.figure == figure).unwrap().verdict;
    assert_eq!(["response p50", "succeeded", "errors"].map(of), [Verdict::Same; 3], "{c:#?}");
    // Every fifth second of this run is a stampede, so its p99 is one of two figures an order apart.
    assert_eq!((of("response p99"), c.verdict), (Verdict::CannotTell, Verdict::CannotTell));
    assert!(c.notes[0].contains("repeat both sides"), "{:?}", c.notes);
    insta::assert_snapshot!("same", words(&c, true));
}

#[test]
fn what_is_too_short_to_compare_is_shown_with_what_it_lacks() {
    // Ten seconds of warm-up, and three that are measured.
    let short = |id| [cut(id, 1.0, RunTime::from_ms(13_000))];
    let c = compare(&short(0), &short(1), &[]).unwrap();
    let headline: Vec<&Row> = c.rows.iter().filter(|r| r.headline).collect();
    assert!(headline.iter().all(|r| r.verdict == Verdict::CannotTell && r.change.is_none()), "{headline:#?}");
    assert!(headline.iter().all(|r| r.base.is_some() && r.new.is_some()), "{headline:#?}");
    assert!(c.reason.contains("needs 6 s of measured load, a run has 3 s"), "{}", c.reason);
    let told = words(&c, false);
    assert!(told.contains("cannot be told (--all shows them)"), "{told}");
    assert!(bands(&short(0)).is_empty(), "no noise is known");
}

#[test]
fn runs_of_one_name_that_did_different_things_are_told_apart() {
    let (base, mut new) = (runs(&BASE[..2]), runs(&BASE[..2]));
    let note = |c: &Comparison| c.notes.iter().find(|n| n.contains("did different things")).cloned();
    assert_eq!(note(&compare(&base, &new, &[]).unwrap()), None);
    for figure in new.iter_mut().flat_map(|s| &mut s.figures).filter(|f| f.of == "browse") {
        figure.of = "search".to_owned();
    }
    let told = note(&compare(&base, &new, &[]).unwrap()).unwrap();
    assert!(told.ends_with("these steps are not in all of them: browse, search"), "{told}");
}

#[test]
fn a_finding_that_came_is_told() {
    let base = runs(&BASE[..2]);
    let mut new = runs(&BASE[..2]);
    new.iter_mut().for_each(|s| s.findings.clear());
    let c = compare(&new, &base, &[]).unwrap();
    let kinds: Vec<(&str, usize, usize)> =
        c.findings.iter().map(|f| (f.kind.name(), f.base, f.new)).collect();
    assert_eq!(kinds, [("pool-saturated", 0, 2), ("cache-stampede", 0, 2)]);
}

#[test]
fn what_says_nothing_is_refused() {
    let good = runs(&BASE[..2]);
    let mut other = runs(&BASE[..1]);
    other[0].meta.scenario = "another".to_owned();
    insta::assert_snapshot!(compare(&good, &other, &[]).unwrap_err(), @"the runs are of different scenarios: `flash-sale` and `another`; compare runs of one scenario");
    let mut bad = runs(&BASE[..1]);
    bad[0].verdict = RunVerdict::Invalid;
    bad[0].verdict_reason = "the generator could not keep its schedule".to_owned();
    insta::assert_snapshot!(compare(&good, &bad, &[]).unwrap_err(), @"none of the new runs is valid, so their figures say nothing: the generator could not keep its schedule");
    let mut mixed = runs(&BASE[..2]);
    mixed[1].verdict = RunVerdict::Invalid;
    assert_eq!(compare(&good, &mixed, &[]).unwrap().new.invalid, ["run-1"]);
}

#[test]
fn a_run_counts_once_and_is_not_compared_with_itself() {
    let (base, other) = (runs(&BASE[..2]), runs(&BASE[2..3]));
    let twice = [base.clone(), base.clone()].concat();
    let c = compare(&twice, &[other.clone(), base[..1].to_vec()].concat(), &[]).unwrap();
    assert_eq!((c.base.runs.len(), c.new.runs.as_slice()), (2, ["run-0".to_owned()].as_slice()));
    assert_eq!(
        c.notes[..2],
        ["1 run of the base left out of the new runs", "2 runs given twice on a side, counted once"]
    );
    let once = compare(&base, &other, &[]).unwrap();
    assert_eq!(c.rows, once.rows, "copies teach no noise");
    assert_eq!(bands(&twice), bands(&base));
    assert_eq!(compare(&twice, &base, &[]).unwrap_err(), CompareError::Itself);
    assert_eq!(check(&twice), Ok(()));
}

#[test]
fn a_name_cannot_break_out_of_the_markdown() {
    let mut c = compare(&runs(&BASE[..1]), &runs(&BASE[1..2]), &[]).unwrap();
    c.scenario = "load_test `\\<img src=x> http://a.b @who".to_owned();
    c.rows[0].of = "\\<img src=x>|`".to_owned();
    c.notes.push("see HTTPS://a.b, @who".to_owned());
    let told = markdown(&c);
    assert!(!told.contains("<img") && !told.contains(" @who") && !told.contains("://"), "{told}");
    assert!(told.starts_with("### ") && told.contains("load\\_test \\`\\\\&lt;img"), "{told}");
    let row = told.lines().find(|line| line.contains("&lt;img src=x&gt;\\|\\`")).unwrap();
    assert_eq!(row.replace("\\|", "").matches('|').count(), 7, "{row}");
}

#[test]
fn a_run_that_ended_early_is_no_better_and_no_like() {
    let fast: Vec<f64> = BASE.iter().map(|f| f * 0.8).collect();
    let mut new = runs(&fast);
    assert_eq!(compare(&runs(&BASE), &new, &[]).unwrap().verdict, Verdict::Better);
    new[2].end = Reason::Interrupted;
    let c = compare(&runs(&BASE), &new, &[]).unwrap();
    assert_eq!((c.verdict, c.reason.as_str()), (Verdict::CannotTell, "not all runs saw the whole plan"));
    assert_eq!(c.notes[0], "the run run-2 ended early (interrupted): what its plan still had did not happen");
    let mut slow = runs(&BASE.map(|f| f * 1.3));
    slow[0].end = Reason::GateAborted;
    assert_eq!(compare(&runs(&BASE), &slow, &[]).unwrap().verdict, Verdict::Worse);
}

#[test]
fn a_comparison_is_what_the_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let c = compare(&runs(&BASE[..1]), &runs(&BASE[1..3]), &[]).unwrap();
    crate::schema::check(&schema, &schema, &serde_json::to_value(&c).unwrap(), "comparison");
}
